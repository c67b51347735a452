package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// Facts is what [Inspect] finds in a model's file.
type Facts struct {
	Operators []string // the operators used, each once, sorted
	External  []string // the files that hold weights, as the model names them, sorted
}

// Has reports whether the model uses an operator.
func (f Facts) Has(operator string) bool {
	_, found := slices.BinarySearch(f.Operators, operator)
	return found
}

// Inspect reads a model's structure. It passes over the weights, so that its
// cost does not grow with their size.
func Inspect(name string) (Facts, error) {
	file, err := os.Open(name)
	if err != nil {
		return Facts{}, fmt.Errorf("onnx: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Facts{}, fmt.Errorf("onnx: %w", err)
	}
	return inspect(file, info.Size())
}

func inspect(file io.ReaderAt, size int64) (Facts, error) {
	s := scanner{window: window{file: file}, layout: layout(), operators: map[string]bool{}, external: map[string]bool{}}
	if err := s.message(0, size, model, 0); err != nil {
		return Facts{}, fmt.Errorf("onnx: not a model: %w", err)
	}
	return Facts{slices.Sorted(maps.Keys(s.operators)), slices.Sorted(maps.Keys(s.external))}, nil
}

// kind is a message of the format; its fields are told apart by number.
type kind int

const (
	model kind = iota
	graph
	node
	attribute
	tensor
	sparse
	entry
	function
	operator // text: a node's operator
)

// layout says which fields of a message lead to what is looked for.
func layout() map[kind]map[uint64]kind {
	return map[kind]map[uint64]kind{
		model:     {7: graph, 25: function},
		graph:     {1: node, 5: tensor, 15: sparse},
		function:  {7: node, 11: attribute},
		node:      {4: operator, 5: attribute},
		attribute: {5: tensor, 6: graph, 10: tensor, 11: graph, 22: sparse, 23: sparse},
		sparse:    {1: tensor, 2: tensor},
		tensor:    {13: entry},
	}
}

const (
	maxDepth = 64      // of messages in messages: graphs hold nodes that hold graphs
	maxText  = 1 << 16 // of an operator's or a file's name
)

// scanner walks through a model's messages.
type scanner struct {
	window
	layout              map[kind]map[uint64]kind
	operators, external map[string]bool
}

func (s *scanner) message(at, end int64, k kind, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("messages in messages, more than %d deep", maxDepth)
	}
	var key, value string // of an entry
	for at < end {
		tag, next, err := s.varint(at, end)
		if err != nil {
			return err
		}
		var size uint64
		switch tag & 7 {
		case 0:
			_, at, err = s.varint(next, end)
			if err != nil {
				return err
			}
			continue
		case 1:
			at = next + 8
			continue
		case 5:
			at = next + 4
			continue
		case 2:
			size, next, err = s.varint(next, end)
			if err != nil {
				return err
			}
			if size > uint64(end-next) {
				return errors.New("a field is longer than what it is in")
			}
		default:
			return fmt.Errorf("a field of wire type %d", tag&7)
		}
		at = next + int64(size)
		if k == entry {
			text, err := s.text(next, at)
			if err != nil {
				return err
			}
			switch tag >> 3 {
			case 1:
				key = text
			case 2:
				value = text
			}
			continue
		}
		switch inner, ok := s.layout[k][tag>>3]; {
		case !ok:
		case inner == operator:
			text, err := s.text(next, at)
			if err != nil {
				return err
			}
			s.operators[text] = true
		default:
			if err := s.message(next, at, inner, depth+1); err != nil {
				return err
			}
		}
	}
	if at != end {
		return errors.New("a field is longer than what it is in")
	}
	if key == "location" {
		s.external[value] = true
	}
	return nil
}

// window reads a file in small pieces, where it is asked to.
type window struct {
	file io.ReaderAt
	base int64
	buf  []byte
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
