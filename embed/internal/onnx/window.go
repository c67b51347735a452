package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// window reads a file in small pieces, where it is asked to.
type window struct {
	file io.ReaderAt
	base int64
	buf  []byte
}

// field is one of a message's: a number, or bytes in the file.
type field struct {
	number  uint64
	bytes   bool
	at, end int64  // where bytes
	value   uint64 // elsewhere; 0 for those of fixed width, which nothing here needs
}

// fields calls a function with each field of the message at a place.
func (w *window) fields(at, end int64, each func(field) error) error {
	for at < end {
		tag, next, err := w.varint(at, end)
		if err != nil {
			return err
		}
		f := field{number: tag >> 3}
		switch tag & 7 {
		case 0:
			f.value, next, err = w.varint(next, end)
		case 1:
			next += 8
		case 5:
			next += 4
		case 2:
			var size uint64
			size, f.at, err = w.varint(next, end)
			if err == nil && size > uint64(end-f.at) {
				err = errors.New("a field is longer than what it is in")
			}
			f.bytes, f.end = true, f.at+int64(size)
			next = f.end
		default:
			err = fmt.Errorf("a field of wire type %d", tag&7)
		}
		if err == nil {
			err = each(f)
		}
		if err != nil {
			return err
		}
		at = next
	}
	if at != end {
		return errors.New("a field is longer than what it is in")
	}
	return nil
}

// bytes gives up to n bytes at a place; fewer only at the file's end.
func (w *window) bytes(at int64, n int) ([]byte, error) {
	if at < w.base || at+int64(n) > w.base+int64(len(w.buf)) {
		if cap(w.buf) < n {
			w.buf = make([]byte, max(n, 1<<12))
		}
		w.buf, w.base = w.buf[:cap(w.buf)], at
		got, err := w.file.ReadAt(w.buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		w.buf = w.buf[:got]
	}
	b := w.buf[at-w.base:]
	return b[:min(n, len(b))], nil
}

func (w *window) varint(at, end int64) (value uint64, next int64, err error) {
	b, err := w.bytes(at, int(min(binary.MaxVarintLen64, end-at)))
	if err != nil {
		return 0, 0, err
	}
	value, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, 0, errors.New("a number is cut short")
	}
	return value, at + int64(n), nil
}

func (w *window) text(at, end int64) (string, error) {
	if end-at > maxText {
		return "", fmt.Errorf("a name of %d bytes", end-at)
	}
	b, err := w.bytes(at, int(end-at))
	if err != nil {
		return "", err
	}
	if len(b) < int(end-at) {
		return "", io.ErrUnexpectedEOF
	}
	return string(b), nil
}
