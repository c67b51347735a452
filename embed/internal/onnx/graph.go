// Package onnx writes ONNX models: just enough of the format to turn a
// transformer's weights into a model, and to make small models in tests.
package onnx

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// Type is the element type of a tensor, by its number in the format
// (TensorProto.DataType).
type Type int64

// The element types that are used here.
const (
	Float32  Type = 1
	Uint8    Type = 2
	Int8     Type = 3
	Int32    Type = 6
	Int64    Type = 7
	Float16  Type = 10
	Float64  Type = 11
	BFloat16 Type = 16
)

func (t Type) size() int64 {
	switch t {
	case Int64, Float64:
		return 8
	case Float16, BFloat16:
		return 2
	case Uint8, Int8:
		return 1
	default:
		return 4
	}
}

// Graph is a model being built. The zero value is an empty one. Nodes and
// weights are written in the order in which they were added, so the same calls
// give the same bytes.
type Graph struct {
	Name     string // of the graph
	Producer string // who wrote the model

	nodes   []byte
	count   int
	weights []weight
	values  []byte
}

type weight struct {
	name string
	typ  Type
	dims []int64
	load func() ([]byte, error)
}

// opset is the version of ONNX's operators that nodes refer to; the first
// with LayerNormalization as one operator.
const (
	opset     = 17
	irVersion = 8
)

// Attr is an attribute of a node: an int64, a float32, or a list of int64.
type Attr struct {
	Name  string
	Value any
}

// Node adds an operator and returns the name of its output. Attributes are
// written in the order given.
func (g *Graph) Node(operator, output string, inputs []string, attrs ...Attr) string {
	g.NodeOf(operator, []string{output}, inputs, attrs...)
	return output
}

// NodeOf adds an operator of several outputs.
func (g *Graph) NodeOf(operator string, outputs, inputs []string, attrs ...Attr) {
	var b []byte
	for _, in := range inputs {
		b = text(b, 1, in)
	}
	for _, out := range outputs {
		b = text(b, 2, out)
	}
	b = text(b, 3, fmt.Sprintf("%s_%d", operator, g.count))
	b = text(b, 4, operator)
	for _, a := range attrs {
		b = blob(b, 5, a.encode())
	}
	g.nodes = blob(g.nodes, 1, b)
	g.count++
}

func (a Attr) encode() []byte {
	b := text(nil, 1, a.Name)
	switch v := a.Value.(type) {
	case int:
		return num(num(b, 3, int64(v)), 20, 2)
	case float32:
		b = varint(b, 2<<3|5)
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		return num(b, 20, 1)
	case []int:
		for _, n := range v {
			b = num(b, 8, int64(n))
		}
		return num(b, 20, 7)
	}
	panic(fmt.Sprintf("onnx: attribute %s has a value of type %T", a.Name, a.Value))
}

// Weight adds a constant tensor and returns its name. load gives its elements,
// row-major and little-endian; it is called while the model is written, so that
// only one weight is in memory at a time.
func (g *Graph) Weight(name string, t Type, dims []int64, load func() ([]byte, error)) string {
	g.weights = append(g.weights, weight{name, t, slices.Clone(dims), load})
	return name
}

// External adds a constant float32 tensor whose elements are in a file beside
// the model, from its beginning on, and returns its name.
func (g *Graph) External(name string, dims []int64, file string) string {
	var b []byte
	for _, d := range dims {
		b = num(b, 1, d)
	}
	b = text(num(b, 2, int64(Float32)), 8, name)
	b = blob(b, 13, text(text(nil, 1, "location"), 2, file))
	g.nodes = blob(g.nodes, 5, num(b, 14, 1))
	return name
}

// Ints adds a constant list of int64 and returns its name.
func (g *Graph) Ints(name string, values ...int64) string {
	return g.ints(name, []int64{int64(len(values))}, values)
}

// Int adds a constant int64 without dimensions and returns its name.
func (g *Graph) Int(name string, value int64) string {
	return g.ints(name, nil, []int64{value})
}

func (g *Graph) ints(name string, dims, values []int64) string {
	return g.Weight(name, Int64, dims, func() (b []byte, err error) {
		for _, v := range values {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
		return b, nil
	})
}

// Float adds a constant float32 without dimensions and returns its name.
func (g *Graph) Float(name string, value float32) string {
	return g.Floats(name, nil, value)
}

// Floats adds a constant float32 tensor and returns its name.
func (g *Graph) Floats(name string, dims []int64, values ...float32) string {
	return g.Weight(name, Float32, dims, func() (b []byte, err error) {
		for _, v := range values {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		return b, nil
	})
}

// Input declares an input. A dimension is an int, or a string that names one
// which is only known when the model runs.
func (g *Graph) Input(name string, t Type, dims ...any) { g.value(11, name, t, dims) }

// Output declares an output; see [Graph.Input].
func (g *Graph) Output(name string, t Type, dims ...any) { g.value(12, name, t, dims) }

func (g *Graph) value(field int, name string, t Type, dims []any) {
	var shape []byte
	for _, d := range dims {
		switch d := d.(type) {
		case int:
			shape = blob(shape, 1, num(nil, 1, int64(d)))
		case string:
			shape = blob(shape, 1, text(nil, 2, d))
		}
	}
	tensor := blob(num(nil, 1, int64(t)), 2, shape)
	g.values = blob(g.values, field, blob(text(nil, 1, name), 2, blob(nil, 1, tensor)))
}

// WriteTo writes the model.
func (g *Graph) WriteTo(w io.Writer) (int64, error) {
	head := text(slices.Clip(g.nodes), 2, g.Name)
	size := int64(len(head) + len(g.values))
	heads := make([][]byte, len(g.weights))
	sizes := make([]int64, len(g.weights))
	for i, t := range g.weights {
		heads[i], sizes[i] = t.head()
		size += int64(len(heads[i])) + sizes[i]
	}

	model := text(num(nil, 1, irVersion), 2, g.Producer)
	model = blob(model, 8, num(text(nil, 1, ""), 2, opset))
	model = varint(varint(model, 7<<3|2), uint64(size))
	out := &counter{w: w}
	out.write(model)
	out.write(head)
	for i, t := range g.weights {
		data, err := t.load()
		if err != nil {
			return out.n, fmt.Errorf("onnx: weight %s: %w", t.name, err)
		}
		if int64(len(data)) != sizes[i] {
			return out.n, fmt.Errorf("onnx: weight %s of shape %v has %d bytes, want %d", t.name, t.dims, len(data), sizes[i])
		}
		out.write(heads[i])
		out.write(data)
	}
	out.write(g.values)
	return out.n, out.err
}

// head is the weight's encoding up to its elements, and how many bytes those
// take.
func (t weight) head() (head []byte, size int64) {
	size = t.typ.size()
	var b []byte
	for _, d := range t.dims {
		b = num(b, 1, d)
		size *= d
	}
	b = text(num(b, 2, int64(t.typ)), 8, t.name)
	b = varint(varint(b, 9<<3|2), uint64(size))
	head = varint(varint(nil, 5<<3|2), uint64(int64(len(b))+size))
	return append(head, b...), size
}

// counter counts what was written, and stops at the first error.
type counter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counter) write(b []byte) {
	if c.err != nil {
		return
	}
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.err = err
}

// The wire format of protocol buffers: a key is the field's number and how its
// value is written (0 a varint, 2 bytes with their length before, 5 four bytes).

func varint(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }

func num(b []byte, field int, n int64) []byte {
	return varint(varint(b, uint64(field)<<3), uint64(n))
}

func blob(b []byte, field int, value []byte) []byte {
	b = varint(varint(b, uint64(field)<<3|2), uint64(len(value)))
	return append(b, value...)
}

func text(b []byte, field int, value string) []byte { return blob(b, field, []byte(value)) }
