// Package safetensors reads the safetensors format: named tensors in one file,
// with a JSON header in front that says where each one is.
package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/millrace-go/millrace/internal/half"
)

// File is an open safetensors file. It is safe for concurrent use.
type File struct {
	f       *os.File
	base    int64 // where the tensors begin
	tensors map[string]Tensor
}

// Tensor says what a tensor is and where in the file.
type Tensor struct {
	DType string  `json:"dtype"`
	Shape []int64 `json:"shape"`
	At    []int64 `json:"data_offsets"` // from, to
}

// maxHeader bounds the header, as the format does.
const maxHeader = 100_000_000

// Open opens a file and reads its header. Close it after use.
func Open(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	s, err := read(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("safetensors: %s: %w", name, err)
	}
	return s, nil
}

func read(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var size uint64
	if err := binary.Read(f, binary.LittleEndian, &size); err != nil {
		return nil, err
	}
	if size > maxHeader || int64(size) > info.Size()-8 {
		return nil, fmt.Errorf("a header of %d bytes cannot be in a file of %d", size, info.Size())
	}
	header := make([]byte, size)
	if _, err := io.ReadFull(f, header); err != nil {
		return nil, err
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(header, &entries); err != nil {
		return nil, err
	}
	delete(entries, "__metadata__") // strings about the file, not a tensor
	s := &File{f: f, base: int64(8 + size), tensors: make(map[string]Tensor, len(entries))}
	for name, raw := range entries {
		var t Tensor
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		if len(t.At) != 2 || t.At[0] < 0 || t.At[0] > t.At[1] || t.At[1] > info.Size()-s.base {
			return nil, fmt.Errorf("tensor %s: its place %v is not in the file", name, t.At)
		}
		s.tensors[name] = t
	}
	return s, nil
}

// Tensor finds a tensor by name.
func (s *File) Tensor(name string) (Tensor, bool) {
	t, ok := s.tensors[name]
	return t, ok
}

// Bytes reads a tensor's elements, row-major and little-endian.
func (s *File) Bytes(t Tensor) ([]byte, error) {
	b := make([]byte, t.At[1]-t.At[0])
	if _, err := s.f.ReadAt(b, s.base+t.At[0]); err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return b, nil
}

// Close closes the file.
func (s *File) Close() error { return s.f.Close() }

// Floats reads a tensor of floating-point numbers of any width, row-major.
func (s *File) Floats(name string) (values []float32, shape []int64, err error) {
	t, ok := s.Tensor(name)
	if !ok {
		return nil, nil, fmt.Errorf("safetensors: there is no tensor %s", name)
	}
	b, err := s.Bytes(t)
	if err != nil {
		return nil, nil, err
	}
	var width int
	var widen func([]byte) float32
	switch t.DType {
	case "F64":
		width, widen = 8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }
	case "F32":
		width, widen = 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
	case "F16":
		width, widen = 2, func(b []byte) float32 { return half.Float16(binary.LittleEndian.Uint16(b)) }
	case "BF16":
		width, widen = 2, func(b []byte) float32 { return half.BFloat16(binary.LittleEndian.Uint16(b)) }
	default:
		return nil, nil, fmt.Errorf("safetensors: tensor %s is of type %s, not of floating-point numbers", name, t.DType)
	}
	want := int64(width)
	for _, d := range t.Shape {
		if d < 0 || d > 0 && want > int64(len(b))/d {
			want = -1
			break
		}
		want *= d
	}
	if want != int64(len(b)) {
		return nil, nil, fmt.Errorf("safetensors: tensor %s of shape %v has %d bytes", name, t.Shape, len(b))
	}
	values = make([]float32, len(b)/width)
	for i := range values {
		values[i] = widen(b[i*width:])
	}
	return values, t.Shape, nil
}

// Shaped is [File.Floats] for a tensor that must be of the given shape, which a
// folder's config.json says.
func (s *File) Shaped(name string, shape ...int) ([]float32, error) {
	values, got, err := s.Floats(name)
	if err != nil {
		return nil, err
	}
	same := len(got) == len(shape)
	for i := 0; same && i < len(shape); i++ {
		same = got[i] == int64(shape[i])
	}
	if !same {
		return nil, fmt.Errorf("the tensor %s is of shape %v, and config.json says %v", name, got, shape)
	}
	return values, nil
}
