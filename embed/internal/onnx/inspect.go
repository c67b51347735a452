package onnx

import (
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
	err := s.fields(at, end, func(f field) (err error) {
		inner, known := s.layout[k][f.number]
		switch {
		case !f.bytes:
		case k == entry && f.number == 1:
			key, err = s.text(f.at, f.end)
		case k == entry && f.number == 2:
			value, err = s.text(f.at, f.end)
		case !known:
		case inner == operator:
			var name string
			name, err = s.text(f.at, f.end)
			s.operators[name] = true
		default:
			err = s.message(f.at, f.end, inner, depth+1)
		}
		return err
	})
	if err == nil && key == "location" {
		s.external[value] = true
	}
	return err
}
