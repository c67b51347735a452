package onnx

import (
	"fmt"
	"os"
)

// Initializer is a constant tensor of a model, and where its elements lie in
// the model's file: row-major and little-endian.
type Initializer struct {
	Name     string
	Type     Type
	Dims     []int64
	At, Size int64
}

// Initializers lists a model's constant tensors, in the file's order. Of those
// whose elements are not in one piece in the file, Size is 0.
func Initializers(name string) ([]Initializer, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	w := window{file: file}
	var all []Initializer
	err = w.fields(0, info.Size(), func(f field) error {
		if !f.bytes || f.number != 7 { // the model's graph
			return nil
		}
		return w.fields(f.at, f.end, func(f field) error {
			if !f.bytes || f.number != 5 { // a tensor of the graph
				return nil
			}
			t, err := w.initializer(f.at, f.end)
			all = append(all, t)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("onnx: %s is not a model: %w", name, err)
	}
	return all, nil
}

func (w *window) initializer(at, end int64) (t Initializer, err error) {
	err = w.fields(at, end, func(f field) (err error) {
		switch {
		case f.number == 1 && !f.bytes:
			t.Dims = append(t.Dims, int64(f.value))
		case f.number == 1:
			for at := f.at; at < f.end && err == nil; {
				var d uint64
				d, at, err = w.varint(at, f.end)
				t.Dims = append(t.Dims, int64(d))
			}
		case f.number == 2:
			t.Type = Type(f.value)
		case f.number == 8 && f.bytes:
			t.Name, err = w.text(f.at, f.end)
		case f.number == 9 && f.bytes:
			t.At, t.Size = f.at, f.end-f.at
		}
		return err
	})
	return t, err
}
