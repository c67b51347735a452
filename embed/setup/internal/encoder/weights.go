package encoder

import (
	"fmt"
	"math"

	"github.com/millrace-go/millrace/internal/safetensors"
)

// weights gives the tensors of a model in the layouts that ONNX wants. They
// stay bytes: all the formats are little-endian.
type weights struct {
	source
	prefix string // some files have the model's type before each name
}

// source is where weights come from. tensor gives a tensor's float32,
// row-major; found is false where there is none of that name.
type source interface {
	tensor(name string) (data []byte, found bool, err error)
}

const width = 4 // bytes of a float32

// published is model.safetensors as a source.
type published struct{ *safetensors.File }

func (p published) tensor(name string) (data []byte, found bool, err error) {
	t, found := p.Tensor(name)
	if !found {
		return nil, false, nil
	}
	if t.DType != "F32" {
		return nil, true, fmt.Errorf("tensor %s is %s, want F32", name, t.DType)
	}
	data, err = p.Bytes(t)
	return data, true, err
}

func (w weights) bytes(name string) ([]byte, error) {
	for _, n := range []string{name, w.prefix + "." + name} {
		if data, found, err := w.tensor(n); found || err != nil {
			return data, err
		}
	}
	return nil, fmt.Errorf("the model has no tensor %s", name)
}

// transposed gives a matrix of shape [rows, cols] as [cols, rows].
func (w weights) transposed(name string, rows, cols int) ([]byte, error) {
	in, err := w.bytes(name)
	if err != nil {
		return nil, err
	}
	if len(in) != rows*cols*width {
		return nil, fmt.Errorf("tensor %s has %d bytes, want %d x %d float32", name, len(in), rows, cols)
	}
	return transpose(in, rows, cols), nil
}

// transpose turns a matrix of shape [rows, cols] into [cols, rows].
func transpose(in []byte, rows, cols int) []byte {
	out := make([]byte, 0, len(in))
	for c := range cols {
		for r := range rows {
			at := (r*cols + c) * width
			out = append(out, in[at:at+width]...)
		}
	}
	return out
}

// sideBySide transposes square matrices of n rows and puts them beside each
// other: [n, len(names) * n].
func (w weights) sideBySide(n int, names ...string) ([]byte, error) {
	parts := make([][]byte, len(names))
	for i, name := range names {
		var err error
		if parts[i], err = w.transposed(name, n, n); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 0, len(names)*n*n*width)
	for r := range n {
		for _, p := range parts {
			out = append(out, p[r*n*width:(r+1)*n*width]...)
		}
	}
	return out, nil
}

// joined gives the tensors one after the other.
func (w weights) joined(names ...string) (out []byte, err error) {
	for _, name := range names {
		b, err := w.bytes(name)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

// relativeBias gives MPNet's bias for each head and each distance from -reach
// to reach: [heads, 2 reach + 1].
func (b *builder) relativeBias(reach int) ([]byte, error) {
	table, err := b.weights.bytes("encoder.relative_attention_bias.weight") // [buckets, heads]
	if err != nil {
		return nil, err
	}
	heads := int(b.Heads)
	if len(table) != b.RelativeBuckets*heads*width {
		return nil, fmt.Errorf("relative_attention_bias has %d bytes, want %d x %d float32", len(table), b.RelativeBuckets, heads)
	}
	out := make([]byte, 0, heads*(2*reach+1)*width)
	for h := range heads {
		for d := -reach; d <= reach; d++ {
			at := (bucket(d, b.RelativeBuckets)*heads + h) * width
			out = append(out, table[at:at+width]...)
		}
	}
	return out, nil
}

// bucket numbers a distance as T5 and MPNet do: half of the buckets for each
// direction, of those half for exact distances and the rest logarithmic up to
// 128. The roundings to float32 are those of the model's training code.
func bucket(distance, buckets int) int {
	first, n, half := 0, -distance, buckets/2
	if n < 0 {
		first, n = half, -n
	}
	exact := half / 2
	if n < exact {
		return first + n
	}
	v := float32(math.Log(float64(float32(float64(n) / float64(exact)))))
	v = v / float32(math.Log(128/float64(exact))) * float32(half-exact)
	return first + min(exact+int(v), half-1)
}
