package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// maxPost bounds what one post may cost in memory: a missing bracket must not
// make the reader gather the rest of the file.
const maxPost = 1 << 20 // bytes

// Read yields the posts of an archive in its order. Whether it is gzipped is
// told by its first bytes, not by its name, which only serves the errors.
//
// An error is the last thing yielded. It names the archive and the line and
// column (both from 1, in bytes of the unpacked JSON) and is about JSON that is
// broken or cut off, a post without an ID, text or date, or an archive without
// a post. The sequence can be used once, since r can be read only once.
func Read(r io.Reader, name string) iter.Seq2[Post, error] {
	return func(yield func(Post, error) bool) {
		s := &scanner{name: name, next: position{line: 1, column: 1}}
		if err := s.open(r); err != nil {
			yield(Post{}, err)
			return
		}
		for {
			post, err := s.post()
			if errors.Is(err, errEnd) {
				return
			}
			if !yield(post, err) || err != nil {
				return
			}
		}
	}
}

var errEnd = errors.New("end of archive")

// A scanner cuts the array into its posts and keeps count of lines. The
// encoding/json Decoder could cut too, but the offsets of its errors leave out
// what lies between the posts, so no line could be told from them.
type scanner struct {
	name  string
	in    *bufio.Reader
	next  position // of the next byte
	posts int      // read so far
	buf   []byte   // the post being read
}

func (s *scanner) open(r io.Reader) error {
	s.in = bufio.NewReaderSize(r, 64<<10)
	if magic, _ := s.in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(s.in)
		if err != nil {
			return fmt.Errorf("archive: %s: its gzip header cannot be read, fetch the file again: %w", s.name, err)
		}
		s.in = bufio.NewReaderSize(unpacker{z}, 64<<10)
	}
	c, err := s.skipSpace()
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("archive: %s is empty", s.name)
	case err != nil:
		return s.broken(err)
	case c != '[':
		return s.unexpected(c, "a JSON array of posts, which begins with '['")
	}
	return nil
}

func (s *scanner) post() (Post, error) {
	c, err := s.skipSpace()
	if err == nil && c == ']' {
		return Post{}, s.end()
	}
	if err == nil && s.posts > 0 {
		if c != ',' {
			return Post{}, s.unexpected(c, "',' or ']' after a post")
		}
		c, err = s.skipSpace()
	}
	if err != nil {
		return Post{}, s.broken(err)
	}
	if c != '{' {
		return Post{}, s.unexpected(c, "a post, which begins with '{'")
	}
	s.posts++
	start := s.next.back()
	cutErr := s.cut(start)
	post, err := parsePost(s.buf)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		// Where a bracket or quote is missing, the cut goes too far: the first
		// wrong byte says more than where the cut ended.
		if cutErr == nil || int(syntax.Offset) < len(s.buf) {
			return Post{}, s.at(start.after(s.buf[:syntax.Offset-1]), err)
		}
	}
	if cutErr != nil {
		return Post{}, cutErr
	}
	if err != nil {
		return Post{}, s.at(start, err)
	}
	return post, nil
}

// cut reads into buf the object whose '{' has been read.
func (s *scanner) cut(start position) error {
	s.buf = append(s.buf[:0], '{')
	quoted, escaped := false, false
	for depth := 1; depth > 0; {
		c, err := s.readByte()
		if err != nil {
			return s.broken(err)
		}
		if len(s.buf) == maxPost {
			return s.at(start, fmt.Errorf("a post of more than %d bytes", maxPost))
		}
		s.buf = append(s.buf, c)
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// end reads what follows the array, so that a gzip checksum is verified too.
func (s *scanner) end() error {
	c, err := s.skipSpace()
	switch {
	case err == nil:
		return s.unexpected(c, "nothing after the array")
	case !errors.Is(err, io.EOF):
		return s.broken(err)
	case s.posts == 0:
		return fmt.Errorf("archive: %s is empty: its array holds no post", s.name)
	}
	return errEnd
}

// skipSpace returns the next byte that is not white space.
func (s *scanner) skipSpace() (byte, error) {
	for {
		c, err := s.readByte()
		if err != nil || c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, err
		}
	}
}

func (s *scanner) readByte() (byte, error) {
	c, err := s.in.ReadByte()
	switch {
	case err != nil:
	case c == '\n':
		s.next = position{s.next.line + 1, 1}
	default:
		s.next.column++
	}
	return c, err
}

// unexpected is about the byte just read, which is never a line feed.
func (s *scanner) unexpected(c byte, want string) error {
	return s.at(s.next.back(), fmt.Errorf("found %q, expected %s", rune(c), want))
}

// broken is about the end of what can be read.
func (s *scanner) broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("the JSON ends before its array does: the file is cut short")
	}
	return s.at(s.next, err)
}

func (s *scanner) at(p position, err error) error {
	return fmt.Errorf("archive: %s, line %d, column %d: %w", s.name, p.line, p.column, err)
}

// A position counts lines and, within them, bytes from 1.
type position struct{ line, column int }

func (p position) after(read []byte) position {
	if n := bytes.Count(read, []byte{'\n'}); n > 0 {
		return position{p.line + n, len(read) - bytes.LastIndexByte(read, '\n')}
	}
	return position{p.line, p.column + len(read)}
}

// back is the position of the byte before, on the same line.
func (p position) back() position { return position{p.line, p.column - 1} }

// An unpacker tells the faults of gzip data from those of the JSON inside.
type unpacker struct{ z *gzip.Reader }

func (u unpacker) Read(p []byte) (int, error) {
	n, err := u.z.Read(p)
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the gzip data ends too early, fetch the file again: %w", err)
	default:
		err = fmt.Errorf("the gzip data is damaged, fetch the file again: %w", err)
	}
	return n, err
}
