package safetensors

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t testing.TB, header, data string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "model.safetensors")
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	if err := os.WriteFile(name, append(append(b, header...), data...), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRead(t *testing.T) {
	f, err := Open(write(t, `{"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "b": {"dtype": "U8", "shape": [2], "data_offsets": [4, 6]}}`, "abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, ok := f.Tensor("b")
	if !ok || b.DType != "U8" || b.Shape[0] != 2 {
		t.Fatalf("%v, %v", b, ok)
	}
	if data, err := f.Bytes(b); err != nil || string(data) != "ef" {
		t.Errorf("%q, %v", data, err)
	}
	if _, ok := f.Tensor("__metadata__"); ok {
		t.Error("the metadata counts as a tensor")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}`, "abcd", uint64(60))
	f.Add(`{"a": {"data_offsets": [0, 5]}}`, "abcd", uint64(31))
	f.Add(`{"a": {"data_offsets": [-1, 2]}}`, "abcd", uint64(32))
	f.Fuzz(func(t *testing.T, header, data string, size uint64) {
		name := write(t, header, data)
		if raw, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		} else if err := os.WriteFile(name, append(binary.LittleEndian.AppendUint64(nil, size), raw[8:]...), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := Open(name)
		if err != nil {
			return
		}
		defer s.Close()
		for name, at := range s.tensors {
			if b, err := s.Bytes(at); err != nil || int64(len(b)) != at.At[1]-at.At[0] {
				t.Errorf("%s: %d bytes, %v", name, len(b), err)
			}
		}
	})
}

func TestFloats(t *testing.T) {
	f, err := Open(write(t, `{
		"f64": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
		"f32": {"dtype": "F32", "shape": [1, 2], "data_offsets": [8, 16]},
		"f16": {"dtype": "F16", "shape": [2], "data_offsets": [16, 20]},
		"bf16": {"dtype": "BF16", "shape": [], "data_offsets": [20, 22]},
		"none": {"dtype": "F32", "shape": [0, 5], "data_offsets": [22, 22]},
		"int": {"dtype": "I32", "shape": [1], "data_offsets": [8, 12]},
		"short": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [8, 16]},
		"negative": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [8, 16]}}`,
		"\x00\x00\x00\x00\x00\x00\xf8\x3f"+"\x00\x00\x20\xc0\x00\x00\x80\x3f"+"\x00\x3c\x00\xc1"+"\x80\x3e"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, want := range map[string][]float32{"f64": {1.5}, "f32": {-2.5, 1}, "f16": {1, -2.5}, "bf16": {0.25}, "none": {}} {
		got, shape, err := f.Floats(name)
		if err != nil || !slices.Equal(got, want) || len(shape) > 2 {
			t.Errorf("%s: %v of shape %v, %v, want %v", name, got, shape, err, want)
		}
	}
	for _, name := range []string{"int", "short", "negative", "nowhere"} {
		if got, _, err := f.Floats(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v, want an error that names it", name, got, err)
		}
	}
}
