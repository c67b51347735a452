package corpus

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// vectorLog is a file of posts' vectors that is only ever appended to: of each
// post, the length of its id and of its vector's wire form as uint32, and the
// two. The wire form carries a checksum. It is safe for concurrent use.
type vectorLog struct {
	mu    sync.Mutex
	file  *os.File
	items []similarity.Item
}

// openVectors opens a log, or begins one, and reads what is in it. What a
// crash left half-written at its end is cut off.
func openVectors(path string) (*vectorLog, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", err)
	}
	items, good := readItems(file)
	err = file.Truncate(good)
	if err == nil {
		_, err = file.Seek(good, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("vectors: %w", err), file.Close())
	}
	return &vectorLog{file: file, items: items}, nil
}

// readItems reads a log up to its end, or to where it is no longer whole, and
// returns the length of what is.
func readItems(file io.Reader) (items []similarity.Item, good int64) {
	for r := bufio.NewReaderSize(file, 1<<20); ; {
		item, n, err := readItem(r)
		if err != nil {
			return items, good
		}
		items = append(items, item)
		good += n
	}
}

const mostBytes = 1 << 20 // an id or a vector longer than that is a broken file

func readItem(r io.Reader) (item similarity.Item, n int64, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return item, 0, err
	}
	idLen, wireLen := binary.LittleEndian.Uint32(head[:4]), binary.LittleEndian.Uint32(head[4:])
	if idLen > mostBytes || wireLen > mostBytes {
		return item, 0, errors.New("not a vector")
	}
	body := make([]byte, idLen+wireLen)
	if _, err := io.ReadFull(r, body); err != nil {
		return item, 0, err
	}
	item.ID = string(body[:idLen])
	item.Vector, err = vector.Codec{}.Decode(body[idLen:])
	return item, int64(len(head) + len(body)), err
}

func appendItem(dst []byte, item similarity.Item) ([]byte, error) {
	at := len(dst)
	dst = append(dst, make([]byte, 8)...)
	dst = append(dst, item.ID...)
	dst, err := item.Vector.AppendBinary(dst)
	if err != nil {
		return dst[:at], err
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(item.ID)))
	binary.LittleEndian.PutUint32(dst[at+4:], uint32(len(dst)-at-8-len(item.ID)))
	return dst, nil
}

// sink makes the log a stage's sink. wrote is told after each write how many
// vectors there are.
func (l *vectorLog) sink(wrote func(n int)) stage.Sink[similarity.Item] {
	return stage.Sink[similarity.Item]{
		Targets: []stage.Target{{
			Open: func(context.Context, stage.Env) (stage.Writer, error) { return logWriter{l, wrote}, nil },
		}},
		Encode: func(item similarity.Item, _ *stage.Raw, emit func(int, stage.Raw)) error {
			b, err := appendItem(nil, item)
			emit(0, stage.Raw{Key: []byte(item.ID), Value: b})
			return err
		},
	}
}

type logWriter struct {
	log   *vectorLog
	wrote func(n int)
}

func (w logWriter) Write(recs []stage.Raw, done func(i int, err error)) {
	n, err := w.log.append(recs)
	for i := range recs {
		done(i, err)
	}
	w.wrote(n)
}

func (w logWriter) Close(context.Context) error { return nil } // the log is closed by who opened it

func (l *vectorLog) append(recs []stage.Raw) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []byte
	for _, r := range recs {
		all = append(all, r.Value...)
	}
	if _, err := l.file.Write(all); err != nil {
		// Part of it may be there: no further write may follow it.
		return len(l.items), stage.Permanent(fmt.Errorf("vectors: %w", err))
	}
	for _, r := range recs {
		v, err := vector.Codec{}.Decode(r.Value[8+len(r.Key):])
		if err != nil {
			return len(l.items), stage.Permanent(fmt.Errorf("vectors: %w", err))
		}
		l.items = append(l.items, similarity.Item{ID: string(r.Key), Vector: v})
	}
	return len(l.items), nil
}

func (l *vectorLog) close() error {
	return errors.Join(l.file.Sync(), l.file.Close())
}
