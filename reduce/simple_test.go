package reduce_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// denseFolder writes a Dense module: config.json, and tensors of float32.
func denseFolder(t testing.TB, config string, tensors map[string][][]float32) string {
	t.Helper()
	dir := t.TempDir()
	var entries []string
	var data []byte
	for name, rows := range tensors {
		from := len(data)
		for _, r := range rows {
			for _, x := range r {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
			}
		}
		shape := fmt.Sprintf("[%d, %d]", len(rows), len(rows[0]))
		if strings.HasSuffix(name, "bias") {
			shape = fmt.Sprintf("[%d]", len(rows[0]))
		}
		entries = append(entries, fmt.Sprintf(`%q: {"dtype": "F32", "shape": %s, "data_offsets": [%d, %d]}`, name, shape, from, len(data)))
	}
	header := "{" + strings.Join(entries, ", ") + "}"
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644),
		os.WriteFile(filepath.Join(dir, "model.safetensors"), append(file, data...), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

const denseConfig = `{"in_features": 3, "out_features": 2, "bias": true, "activation_function": "torch.nn.modules.activation.Tanh"}`

func openDense(t testing.TB) *reduce.Dense {
	t.Helper()
	d, err := reduce.OpenDense(denseFolder(t, denseConfig, map[string][][]float32{
		"linear.weight": {{1, 2, 3}, {-1, 0, 0.5}}, "linear.bias": {{0.25, -0.5}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// reducers gives one of each kind that takes vectors of 3 values of any space.
func reducers(t testing.TB) map[string]reducer {
	return map[string]reducer{"dense": openDense(t), "truncate": reduce.Truncate(2), "normalize": reduce.Normalize{}}
}

type reducer interface {
	stage.Transform[vector.Vector, vector.Vector]
	Space(of string) string
}

func TestValues(t *testing.T) {
	x := vector.Vector{Space: space, Values: []float32{0.3, -0.4, 1.2}}
	for name, want := range map[string][]float64{
		"dense":     {math.Tanh(0.3 - 0.8 + 3.6 + 0.25), math.Tanh(-0.3 + 0.6 - 0.5)},
		"truncate":  {0.3, -0.4},
		"normalize": {0.3 / 1.3, -0.4 / 1.3, 1.2 / 1.3},
	} {
		r := reducers(t)[name]
		out, err := r.Transform(t.Context(), []vector.Vector{x, {Space: "other", Values: x.Values}, x})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range out {
			got := make([]float64, len(v.Values))
			for j, y := range v.Values {
				got[j] = float64(y)
			}
			near(t, name, got, want, 1e-6)
			of := []string{space, "other", space}[i]
			if v.Space != r.Space(of) || v.Space == of || v.Check() != nil {
				t.Errorf("%s: space %q, want %q", name, v.Space, r.Space(of))
			}
		}
		if out[0].Space == out[1].Space {
			t.Errorf("%s: vectors of two spaces end in one", name)
		}
	}
	for _, tiny := range []float32{math.SmallestNonzeroFloat32, math.MaxFloat32} {
		out, err := reduce.Normalize{}.Transform(t.Context(), []vector.Vector{{Space: space, Values: []float32{0, -tiny}}})
		if err != nil || !slices.Equal(out[0].Values, []float32{0, -1}) {
			t.Errorf("%g normalized: %v, %v", tiny, out, err)
		}
	}
}

func TestSpacesTellReducersApart(t *testing.T) {
	seen := map[string]string{space: "none"}
	other, err := reduce.OpenDense(denseFolder(t, denseConfig, map[string][][]float32{
		"linear.weight": {{1, 2, 3}, {-1, 0, 0.5}}, "linear.bias": {{0.25, -0.25}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	all := reducers(t)
	all["truncate 1"], all["dense of another bias"] = reduce.Truncate(1), other
	for name, r := range all {
		s := r.Space(space)
		if was, ok := seen[s]; ok {
			t.Errorf("%s and %s: one space %s", name, was, s)
		}
		seen[s] = name
	}
	if again := openDense(t); again.Space(space) != openDense(t).Space(space) {
		t.Error("one layer opened twice has two spaces")
	}
}

func TestBadVectorsFailAlone(t *testing.T) {
	good := vector.Vector{Space: space, Values: []float32{1, 2, 3}}
	for name, bad := range map[string]map[string]vector.Vector{
		"dense":     {"2 values where 3": {Space: space, Values: []float32{1, 2}}, "4 values where 3": {Space: space, Values: []float32{1, 2, 3, 4}}, "Inf": {Space: space, Values: []float32{1, float32(math.Inf(1)), 3}}},
		"truncate":  {"1 values cannot be truncated to 2": {Space: space, Values: []float32{1}}, "no values": {Space: space}, "NaN": {Space: space, Values: []float32{1, 2, float32(math.NaN())}}},
		"normalize": {"all values are 0": {Space: space, Values: []float32{0, 0}}, "no space": {Values: []float32{1}}},
	} {
		for want, v := range bad {
			out, err := reducers(t)[name].Transform(t.Context(), []vector.Vector{good, v, good})
			batch, ok := errors.AsType[*stage.BatchError](err)
			if !ok || batch.Errs[0] != nil || batch.Errs[2] != nil || out[0].Check() != nil || out[2].Check() != nil {
				t.Fatalf("%s: %v, %v", name, out, err)
			}
			if e := batch.Errs[1]; e == nil || !strings.Contains(e.Error(), want) || !stage.IsPermanent(e) {
				t.Errorf("%s: error %v, want a permanent one with %q", name, e, want)
			}
		}
	}
	for _, n := range []int{0, -3} {
		if _, err := reduce.Truncate(n).Transform(t.Context(), []vector.Vector{good}); err == nil || !strings.Contains(err.Error(), "at least 1") {
			t.Errorf("truncated to %d: %v", n, err)
		}
	}
}

func TestChain(t *testing.T) {
	vs := random(30, 300, 8, 2)
	unit, err := reduce.Normalize{}.Transform(t.Context(), vs)
	if err != nil {
		t.Fatal(err)
	}
	p := fit(t, unit, 5)
	chain := stage.Then(stage.Then(stage.Then(reduce.Normalize{}, p), reduce.Truncate(3)), reduce.Normalize{})
	out, err := chain.Transform(t.Context(), vs[:2])
	if err != nil {
		t.Fatal(err)
	}
	if want := (reduce.Normalize{}).Space(reduce.Truncate(3).Space(p.Space())); out[0].Space != want || len(out[1].Values) != 3 {
		t.Errorf("%v, want space %s", out, want)
	}
	// The PCA is of the normalized vectors' space: left out, that shows.
	if _, err := p.Transform(t.Context(), vs[:1]); err == nil {
		t.Error("the PCA took vectors that were not normalized")
	}
}

func TestOpenDenseErrors(t *testing.T) {
	weights := map[string][][]float32{"linear.weight": {{1, 2, 3}, {-1, 0, 0.5}}, "linear.bias": {{1, 2}}}
	pickled := denseFolder(t, denseConfig, weights)
	if err := os.Rename(filepath.Join(pickled, "model.safetensors"), filepath.Join(pickled, "pytorch_model.bin")); err != nil {
		t.Fatal(err)
	}
	for want, folder := range map[string]string{
		"config.json: no such file":        t.TempDir(),
		"pickle format":                    pickled,
		"out_features 0":                   denseFolder(t, `{"in_features": 3}`, weights),
		"unexpected end of JSON":           denseFolder(t, `{`, weights),
		"is of shape [2 3]":                denseFolder(t, `{"in_features": 3, "out_features": 1}`, weights),
		"Softmax\" is not supported":       denseFolder(t, `{"in_features": 3, "out_features": 2, "activation_function": "torch.nn.Softmax"}`, weights),
		"there is no tensor linear.bias":   denseFolder(t, denseConfig, map[string][][]float32{"linear.weight": weights["linear.weight"]}),
		"there is no tensor linear.weight": denseFolder(t, denseConfig, map[string][][]float32{"linear.bias": {{1, 2}}}),
	} {
		if _, err := reduce.OpenDense(folder); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "reduce: ") {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestReducersHeedTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, r := range reducers(t) {
		if _, err := r.Transform(ctx, nil); !errors.Is(err, context.Canceled) || stage.IsPermanent(err) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
