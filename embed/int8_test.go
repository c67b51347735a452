package embed

import (
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

// quantising is the tiny model with its vectors quantised to whole numbers on
// the way, by a scale that is chosen for the whole batch.
func quantising() *onnx.Graph {
	g := &onnx.Graph{}
	g.Node("Gather", "words", []string{g.Floats("table", []int64{5, 2}, tinyTable...), inputIDs})
	g.NodeOf("DynamicQuantizeLinear", []string{"whole", "scale", "zero"}, []string{"words"})
	g.Node("DequantizeLinear", tokensOutput, []string{"whole", "scale", "zero"})
	g.Input(inputIDs, onnx.Int64, "batch", "sequence")
	g.Output(tokensOutput, onnx.Float32, "batch", "sequence", 2)
	return g
}

// Equal lengths do not help: a text beside it is enough to change a vector.
func TestDynamicInt8(t *testing.T) {
	texts := []string{"a", "b", "c"}
	difference := func(m *Model) (worst float64) {
		t.Helper()
		all, err := m.Transform(t.Context(), texts)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			one, err := m.Transform(t.Context(), []string{text})
			if err != nil {
				t.Fatal(err)
			}
			worst = max(worst, distance(one[0].Values, all[i].Values))
		}
		return worst
	}
	usual, err := openTiny(t, quantising(), tinyFiles())
	if err != nil {
		t.Fatal(err)
	}
	batched, err := openTiny(t, quantising(), tinyFiles(), WithBatchInvariant(false))
	if err != nil {
		t.Fatal(err)
	}
	if !usual.BatchInvariant() || batched.BatchInvariant() {
		t.Error("a model that quantises as it goes is batch-invariant unless told otherwise")
	}
	if d := difference(usual); d != 0 {
		t.Errorf("one by one: vectors differ by %g", d)
	}
	if d := difference(batched); d < 1e-3 {
		t.Errorf("in batches: vectors differ by only %g: nothing is shown", d)
	}
	if usual.Space() != batched.Space() {
		t.Error("how texts are put into batches makes another space")
	}
}

// The real thing: all-MiniLM-L6-v2, dynamically quantised.
func TestRealDynamicInt8(t *testing.T) {
	dir := Installed(miniLM + "-int8")
	m, err := Open(dir)
	if err != nil {
		t.Fatalf("%v; make setup installs it", err)
	}
	defer m.Close()
	batched, err := Open(dir, WithBatchInvariant(false))
	if err != nil {
		t.Fatal(err)
	}
	defer batched.Close()
	texts := variedTexts(64)
	fp32, err := openMiniLM(t).Transform(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	all, err := m.Transform(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	mixed, err := batched.Transform(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	moved := 0.0
	for i, text := range texts {
		one, err := m.Transform(t.Context(), []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if distance(one[0].Values, all[i].Values) != 0 {
			t.Errorf("text %d depends on its neighbours", i)
		}
		moved = max(moved, distance(all[i].Values, mixed[i].Values))
		cos := 0.0
		for k := range one[0].Values {
			cos += float64(one[0].Values[k]) * float64(fp32[i].Values[k])
		}
		if cos < 0.95 {
			t.Errorf("text %d: cosine %.4f with the vector of float32", i, cos)
		}
	}
	if moved < 1e-3 {
		t.Errorf("in batches numbers move by only %g: nothing is shown", moved)
	}
	t.Logf("in batches numbers move by up to %.3g", moved)
}
