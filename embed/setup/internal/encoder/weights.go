package encoder

import (
	"fmt"
	"math"

	"github.com/millrace-go/millrace/embed/internal/safetensors"
)

// weights gives the tensors of a file in the layouts that ONNX wants. They stay
// bytes: both formats are little-endian.
type weights struct {
	file   *safetensors.File
	prefix string // some files have the model's type before each name
}

const width = 4 // bytes of a float32

func (w weights) bytes(name string) ([]byte, error) {
	t, ok := w.file.Tensor(name)
	if !ok {
		if t, ok = w.file.Tensor(w.prefix + "." + name); !ok {
			return nil, fmt.Errorf("model.safetensors has no tensor %s", name)
		}
	}
	if t.DType != "F32" {
		return nil, fmt.Errorf("tensor %s is %s, want F32", name, t.DType)
	}
	return w.file.Bytes(t)
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
	out := make([]byte, 0, len(in))
	for c := range cols {
		for r := range rows {
			at := (r*cols + c) * width
			out = append(out, in[at:at+width]...)
		}
	}
	return out, nil
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
