package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func write(t testing.TB, g *Graph) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := g.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func small() *Graph {
	g := &Graph{Name: "small"}
	table := g.Floats("table", []int64{100, 100}, make([]float32, 10_000)...)
	g.Node("Gather", "x", []string{table, "ids"}, Attr{"axis", 0})
	g.NodeOf("DynamicQuantizeLinear", []string{"q", "scale", "zero"}, []string{"x"})
	g.Node("Mul", "y", []string{g.External("w", []int64{2}, "sub/w.bin"), "x"})
	g.Node("Add", "z", []string{g.External("v", []int64{2}, "../v.bin"), "y"})
	g.Input("ids", Int64, "n")
	g.Output("z", Float32, "n", 100)
	return g
}

func TestInspect(t *testing.T) {
	name := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(name, write(t, small()), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Inspect(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"Add", "DynamicQuantizeLinear", "Gather", "Mul"}; !slices.Equal(got.Operators, want) {
		t.Errorf("operators %v, want %v", got.Operators, want)
	}
	if want := []string{"../v.bin", "sub/w.bin"}; !slices.Equal(got.External, want) {
		t.Errorf("external %v, want %v", got.External, want)
	}
	if !got.Has("DynamicQuantizeLinear") || got.Has("MatMul") {
		t.Error("Has")
	}
	if _, err := Inspect(name + ".none"); err == nil {
		t.Error("no file: no error")
	}
}

// A node may hold a graph, an attribute a tensor, and a model functions.
func TestInspectLooksEverywhere(t *testing.T) {
	far := blob(nil, 13, text(text(nil, 1, "location"), 2, "far"))
	inner := blob(nil, 1, text(nil, 4, "Inner"))                                   // a graph of a node
	inner = blob(inner, 15, blob(nil, 1, far))                                     // with a sparse weight
	node := blob(text(nil, 4, "If"), 5, blob(nil, 6, inner))                       // a node with that graph
	function := blob(nil, 7, text(nil, 4, "InFunction"))                           // a function's node
	constant := blob(text(nil, 4, "Constant"), 5, blob(nil, 5, text(far, 8, "c"))) // a constant's tensor
	data := blob(blob(nil, 7, blob(blob(nil, 1, node), 1, constant)), 25, function)
	got, err := inspect(bytes.NewReader(data), int64(len(data)))
	if err != nil || !slices.Equal(got.Operators, []string{"Constant", "If", "InFunction", "Inner"}) || !slices.Equal(got.External, []string{"far"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzInspect(f *testing.F) {
	f.Add([]byte("this is not ONNX"))
	f.Add(write(f, small())[:4000])
	deep := blob(nil, 1, nil)
	for range maxDepth {
		deep = blob(nil, 1, blob(nil, 5, blob(nil, 6, deep)))
	}
	f.Add(blob(nil, 7, deep))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = inspect(bytes.NewReader(data), int64(len(data)))
	})
}
