package onnx

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestInitializers(t *testing.T) {
	g := &Graph{}
	g.Floats("a", []int64{2, 3}, 1, 2, 3, 4, 5, 6)
	g.External("elsewhere", []int64{7}, "w.bin")
	g.Ints("b", 8, 9)
	data := write(t, g)
	// Dimensions may also be packed into one field.
	packed := blob(text(num(blob(nil, 1, varint(varint(nil, 300), 2)), 2, int64(Int8)), 8, "c"), 9, []byte("xy"))
	data = blob(data, 7, blob(nil, 5, packed))
	name := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Initializers(name)
	if err != nil || len(got) != 4 {
		t.Fatalf("%v, %v", got, err)
	}
	for i, want := range []Initializer{
		{Name: "elsewhere", Type: Float32, Dims: []int64{7}},
		{Name: "a", Type: Float32, Dims: []int64{2, 3}, Size: 24},
		{Name: "b", Type: Int64, Dims: []int64{2}, Size: 16},
		{Name: "c", Type: Int8, Dims: []int64{300, 2}, Size: 2},
	} {
		if g := got[i]; g.Name != want.Name || g.Type != want.Type || !slices.Equal(g.Dims, want.Dims) || g.Size != want.Size {
			t.Errorf("%+v, want %+v", g, want)
		}
	}
	if n := binary.LittleEndian.Uint64(data[got[2].At+8:]); n != 9 {
		t.Errorf("b ends with %d, want 9", n)
	}
	if err := os.WriteFile(name, data[:len(data)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Initializers(name); err == nil || !strings.Contains(err.Error(), "is not a model") {
		t.Errorf("a file cut short: %v", err)
	}
}
