package safetensors

import (
	"encoding/binary"
	"os"
	"path/filepath"
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
