// Package sealed writes and reads files that must be whole: a magic, a
// version, the fields in their order, and a CRC-32C of all of it at the end.
// A file that is cut short, changed, of another kind or of a newer version is
// an error that says so, and never a large allocation.
package sealed

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
)

// Kind tells one sort of file from another.
type Kind struct {
	Name    string  // for errors: "index"
	Magic   [8]byte // the first bytes
	Version uint32  // the only one that is read
}

// chunk bounds what is allocated ahead of the bytes that justify it.
const chunk = 1 << 16

// Writer takes the fields. The first error is kept, and reported by Write.
type Writer struct {
	w   *bufio.Writer
	crc hash.Hash32
	buf []byte
	err error
}

// Write writes a file of the kind to w, its fields by body.
func Write(w io.Writer, kind Kind, body func(*Writer)) error {
	s := &Writer{w: bufio.NewWriterSize(w, chunk), crc: newCRC(), buf: make([]byte, 0, chunk)}
	s.bytes(kind.Magic[:])
	s.Uint32(kind.Version)
	body(s)
	s.Uint32(s.crc.Sum32())
	if s.err == nil {
		s.err = s.w.Flush()
	}
	return s.err
}

func (s *Writer) bytes(b []byte) {
	if s.err != nil {
		return
	}
	_, _ = s.crc.Write(b)
	_, s.err = s.w.Write(b)
}

// Uint32 writes 4 bytes, little-endian, as all numbers.
func (s *Writer) Uint32(v uint32) { s.bytes(binary.LittleEndian.AppendUint32(s.buf[:0], v)) }

// Uint64 writes 8 bytes.
func (s *Writer) Uint64(v uint64) { s.bytes(binary.LittleEndian.AppendUint64(s.buf[:0], v)) }

// String writes a length of 4 bytes and the text.
func (s *Writer) String(v string) {
	if uint64(len(v)) > math.MaxUint32 {
		s.err = errors.Join(s.err, fmt.Errorf("a text of %d bytes is too long", len(v)))
		return
	}
	s.Uint32(uint32(len(v)))
	s.bytes([]byte(v))
}

// Float32s writes the values' bits; the reader must know how many.
func (s *Writer) Float32s(v []float32) {
	for len(v) > 0 {
		n := min(len(v), chunk/4)
		b := s.buf[:0]
		for _, x := range v[:n] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		s.bytes(b)
		v = v[n:]
	}
}

// Float64s writes the values' bits; the reader must know how many.
func (s *Writer) Float64s(v []float64) {
	for len(v) > 0 {
		n := min(len(v), chunk/8)
		b := s.buf[:0]
		for _, x := range v[:n] {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
		s.bytes(b)
		v = v[n:]
	}
}

// Reader gives the fields back. After an error it gives zero values; the
// error is in Err, and reported by Read.
type Reader struct {
	r   *bufio.Reader
	crc hash.Hash32
	buf []byte
	n   int64
	err error
}

// Read reads a file of the kind from r to its end, its fields by body. Until
// Read has returned nil, what body read may be damaged.
func Read(r io.Reader, kind Kind, body func(*Reader) error) error {
	s := &Reader{r: bufio.NewReaderSize(r, chunk), crc: newCRC(), buf: make([]byte, chunk)}
	var magic [8]byte
	copy(magic[:], s.bytes(8))
	if s.err == nil && magic != kind.Magic {
		return fmt.Errorf("not a file of this kind: it starts with %q, and an %s with %q", magic[:], kind.Name, kind.Magic[:])
	}
	if v := s.Uint32(); s.err == nil && v != kind.Version {
		return fmt.Errorf("version %d of the %s's format, and this program reads version %d", v, kind.Name, kind.Version)
	}
	if s.err != nil {
		return s.err
	}
	if err := body(s); err != nil && s.err == nil {
		return err
	}
	sum := s.crc.Sum32()
	if got := s.Uint32(); s.err == nil && got != sum {
		return fmt.Errorf("checksum %08x where the bytes give %08x: the file is damaged", got, sum)
	}
	if s.err != nil {
		return s.err
	}
	switch _, err := s.r.ReadByte(); {
	case err == nil:
		return fmt.Errorf("more bytes after the end of the %s, at byte %d", kind.Name, s.n)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// Err is the first error of reading, nil if there was none.
func (s *Reader) Err() error { return s.err }

// bytes returns the next n <= chunk bytes, valid until the next call.
func (s *Reader) bytes(n int) []byte {
	b := s.buf[:n]
	if s.err == nil {
		got, err := io.ReadFull(s.r, b)
		s.n += int64(got)
		_, _ = s.crc.Write(b[:got])
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			s.err = fmt.Errorf("cut short: it ends at byte %d, in the middle: %w", s.n, io.ErrUnexpectedEOF)
		case err != nil:
			s.err = err
		}
	}
	if s.err != nil {
		clear(b)
	}
	return b
}

// Uint32 reads what Writer.Uint32 wrote.
func (s *Reader) Uint32() uint32 { return binary.LittleEndian.Uint32(s.bytes(4)) }

// Uint64 reads what Writer.Uint64 wrote.
func (s *Reader) Uint64() uint64 { return binary.LittleEndian.Uint64(s.bytes(8)) }

// String reads what Writer.String wrote.
func (s *Reader) String() string {
	var text []byte
	for left := uint64(s.Uint32()); left > 0 && s.err == nil; {
		n := min(left, chunk)
		text = append(text, s.bytes(int(n))...)
		left -= n
	}
	return string(text)
}

// Float32s reads n values. It allocates no more than a chunk ahead of what the
// file holds.
func (s *Reader) Float32s(n uint64) []float32 {
	v := make([]float32, 0, min(n, chunk))
	for n > 0 && s.err == nil {
		k := min(n, chunk/4)
		b := s.bytes(int(4 * k))
		for i := range k {
			v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
		}
		n -= k
	}
	return v
}

// Float64s reads n values, as Float32s does.
func (s *Reader) Float64s(n uint64) []float64 {
	v := make([]float64, 0, min(n, chunk))
	for n > 0 && s.err == nil {
		k := min(n, chunk/8)
		b := s.bytes(int(8 * k))
		for i := range k {
			v = append(v, math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		}
		n -= k
	}
	return v
}

func newCRC() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// WriteFile writes path by save so that at any time, a crash included, it is
// the old file or the new one: into a temporary file beside it, which is
// synced and then renamed.
func WriteFile(path string, save func(io.Writer) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	err = save(f)
	if err == nil {
		err = f.Chmod(0o644) // CreateTemp makes files that only their owner reads
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	// The name is durable only after its folder is.
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// ReadFile has load read the file. An error has the path in it; where load had
// no part in it, it begins with the prefix, which is the caller's package.
func ReadFile[T any](prefix, path string, load func(io.Reader) (T, error)) (v T, err error) {
	f, err := os.Open(path)
	if err != nil {
		return v, fmt.Errorf("%s: %w", prefix, err)
	}
	defer f.Close()
	if v, err = load(f); err != nil {
		return v, fmt.Errorf("%w (%s)", err, path)
	}
	return v, nil
}
