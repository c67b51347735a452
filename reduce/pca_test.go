package reduce_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

var _ stage.Transform[vector.Vector, vector.Vector] = (*reduce.PCA)(nil)

const space = "test-space"

// random makes correlated vectors around offset.
func random(seed uint64, n, dim int, offset float32) []vector.Vector {
	rng := rand.New(rand.NewPCG(seed, 0))
	vs := make([]vector.Vector, n)
	for i := range vs {
		values := make([]float32, dim)
		common := rng.NormFloat64()
		for j := range values {
			values[j] = offset + float32(rng.NormFloat64()/float64(1+j)+common*float64(j%3))
		}
		vs[i] = vector.Vector{Space: space, Values: values}
	}
	return vs
}

func fit(t testing.TB, vs []vector.Vector, components int) *reduce.PCA {
	t.Helper()
	var f reduce.PCAFitter
	if err := f.Add(vs...); err != nil {
		t.Fatal(err)
	}
	p, err := f.Fit(components)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func transform(t testing.TB, p *reduce.PCA, vs []vector.Vector) []vector.Vector {
	t.Helper()
	out, err := p.Transform(t.Context(), vs)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func near(t *testing.T, name string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance*(1+math.Abs(want[i]))) {
			t.Fatalf("%s: value %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

// nearVariances allows what sums in float32 leave: an error of a part of the
// largest variance, in each.
func nearVariances(t *testing.T, got, want []float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-6*want[0]) {
			t.Fatalf("variance %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestFullRankKeepsDistances(t *testing.T) {
	vs := random(3, 100, 20, 5)
	out := transform(t, fit(t, vs, 20), vs)
	for i := range vs {
		j := (i*37 + 1) % len(vs)
		full, _ := similarity.Euclidean.Distance(vs[i].Values, vs[j].Values)
		reduced, _ := similarity.Euclidean.Distance(out[i].Values, out[j].Values)
		near(t, "distance", []float64{reduced}, []float64{full}, 1e-5)
	}
}

func TestReducedDistanceIsALowerBound(t *testing.T) {
	vs := random(4, 200, 30, -1)
	for _, k := range []int{1, 5, 15, 29} {
		out := transform(t, fit(t, vs, k), vs)
		for i := range vs {
			for j := range i {
				full, _ := similarity.Euclidean.Distance(vs[i].Values, vs[j].Values)
				reduced, _ := similarity.Euclidean.Distance(out[i].Values, out[j].Values)
				if reduced > full*(1+1e-5)+1e-6 {
					t.Fatalf("%d components: distance %v of %d and %d is above the full %v", k, reduced, i, j, full)
				}
			}
		}
	}
}

func TestTruncateEqualsSmallerFit(t *testing.T) {
	vs := random(9, 300, 12, 0)
	large := fit(t, vs, 10)
	small, err := large.Truncate(4)
	if err != nil {
		t.Fatal(err)
	}
	direct := fit(t, vs, 4)
	if small.Space() != direct.Space() || small.Space() == large.Space() {
		t.Fatalf("spaces: truncated %s, fitted %s, larger %s", small.Space(), direct.Space(), large.Space())
	}
	a, b := transform(t, small, vs), transform(t, direct, vs)
	for i := range a {
		if !slices.Equal(a[i].Values, b[i].Values) || a[i].Space != small.Space() {
			t.Fatalf("vector %d: %v, want %v", i, a[i], b[i])
		}
	}
	for _, n := range []int{0, 11} {
		if _, err := large.Truncate(n); err == nil {
			t.Errorf("truncated 10 components to %d", n)
		}
	}
}

func TestSpaceTellsFitsApart(t *testing.T) {
	vs := random(10, 100, 4, 0)
	p := fit(t, vs, 2)
	other := slices.Clone(vs)
	for i := range other {
		other[i].Space = "other"
	}
	if fit(t, vs, 2).Space() != p.Space() {
		t.Error("the same fit has two spaces")
	}
	if fit(t, other, 2).Space() == p.Space() || fit(t, vs[1:], 2).Space() == p.Space() {
		t.Error("two fits have one space")
	}
}

func TestBadVectorFailsAlone(t *testing.T) {
	vs := random(11, 50, 4, 0)
	p := fit(t, vs, 2)
	bad := []vector.Vector{
		{Space: "other", Values: vs[0].Values},
		{Space: space, Values: vs[0].Values[:3]},
		{Space: space, Values: []float32{1, 2, float32(math.NaN()), 4}},
		{Space: space, Values: []float32{math.MaxFloat32, math.MaxFloat32, math.MaxFloat32, math.MaxFloat32}},
	}
	out, err := p.Transform(t.Context(), append([]vector.Vector{vs[0]}, bad...))
	batch, ok := errors.AsType[*stage.BatchError](err)
	if !ok || batch.Errs[0] != nil || len(out) != 5 || len(out[0].Values) != 2 {
		t.Fatalf("got %v, %v", out, err)
	}
	for i, want := range []string{`"other"`, "3 values where 4", "value 2 is NaN", "Inf"} {
		got := batch.Errs[i+1]
		if got == nil || !strings.Contains(got.Error(), want) || !stage.IsPermanent(got) {
			t.Errorf("vector %d: error %v, want a permanent one with %q", i+1, got, want)
		}
	}
}

func TestTransformInto(t *testing.T) {
	vs := random(21, 400, 300, 1)
	p := fit(t, vs, 280) // more than are summed at a time
	want := transform(t, p, vs[:1])[0]
	dst := make([]float32, 280)
	allocated := testing.AllocsPerRun(20, func() {
		if err := p.TransformInto(dst, vs[0]); err != nil {
			t.Fatal(err)
		}
	})
	if allocated != 0 || !slices.Equal(dst, want.Values) {
		t.Errorf("%v allocations, %v, want %v", allocated, dst[:3], want.Values[:3])
	}
	for k := range want.Values {
		exact := 0.0
		for j, c := range p.Component(k) {
			exact += c * (float64(vs[0].Values[j]) - p.Mean()[j])
		}
		near(t, "component", []float64{float64(dst[k])}, []float64{exact}, 1e-6)
	}
	if err := p.TransformInto(dst[:3], vs[0]); err == nil || !strings.Contains(err.Error(), "3 values for 280") {
		t.Errorf("too short: %v", err)
	}
	if err := p.TransformInto(dst, vector.Vector{Space: "other", Values: vs[0].Values}); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("another space: %v", err)
	}
}

// A vector's result has the same bits wherever it stands in whatever batch.
func TestBatchesMakeNoDifference(t *testing.T) {
	vs := random(24, 120, 37, 1)
	p := fit(t, vs, 21)
	alone := make([][]float32, len(vs))
	for i, v := range vs {
		alone[i] = make([]float32, 21)
		if err := p.TransformInto(alone[i], v); err != nil {
			t.Fatal(err)
		}
	}
	for from := range 30 {
		batch := slices.Clone(vs[from : from+1+3*from])
		bad := from * 2
		batch[bad].Values = []float32{1}
		out, err := p.Transform(t.Context(), batch)
		failed, ok := errors.AsType[*stage.BatchError](err)
		if !ok || !strings.Contains(failed.Errs[bad].Error(), fmt.Sprintf("vector %d", bad)) {
			t.Fatal(err)
		}
		for i, v := range out {
			if (failed.Errs[i] != nil) != (i == bad) || i != bad && !slices.Equal(v.Values, alone[from+i]) {
				t.Fatalf("vector %d of %d from %d on: %v, %v", i, len(batch), from, v.Values, failed.Errs[i])
			}
		}
	}
}

func TestInverseAndReconstructionError(t *testing.T) {
	vs := random(22, 300, 16, 4)
	full := fit(t, vs, 16)
	variance := full.ExplainedVariance()
	for _, size := range []int{1, 7, 16} {
		p, err := full.Truncate(size)
		if err != nil {
			t.Fatal(err)
		}
		want := 0.0 // what is lost is the variance of the other components
		for _, v := range variance[size:] {
			want += v * float64(len(vs)-1) / float64(len(vs))
		}
		got, err := p.ReconstructionError(vs...)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "reconstruction error", []float64{got}, []float64{want}, 1e-6)

		byHand := 0.0
		for i, v := range transform(t, p, vs) {
			back, err := p.Inverse(v)
			if err != nil || back.Space != space {
				t.Fatal(back.Space, err)
			}
			d, err := similarity.Euclidean.Distance(back.Values, vs[i].Values)
			if err != nil {
				t.Fatal(err)
			}
			byHand += d * d / float64(len(vs))
		}
		near(t, "distance to the inverse", []float64{byHand}, []float64{want}, 1e-5)
	}
	for _, bad := range []vector.Vector{vs[0], {Space: full.Space(), Values: []float32{1}}, {Space: full.Space(), Values: slices.Repeat([]float32{3e38}, 16)}} {
		if _, err := full.Inverse(bad); err == nil {
			t.Errorf("the inverse of %v", bad)
		}
	}
	if _, err := full.ReconstructionError(); err == nil {
		t.Error("the error of no vectors")
	}
	if _, err := full.ReconstructionError(vs[0], vector.Vector{Space: "other", Values: vs[0].Values}); err == nil || !strings.Contains(err.Error(), "vector 1") {
		t.Errorf("another space: %v", err)
	}
}

func TestWhiten(t *testing.T) {
	vs := random(23, 500, 10, 2)
	p := fit(t, vs, 4)
	w, err := p.Whiten()
	if err != nil {
		t.Fatal(err)
	}
	if p.Whitened() || !w.Whitened() || w.Space() == p.Space() || !strings.Contains(w.Space(), "whitened") {
		t.Errorf("%v %s, %v %s", p.Whitened(), p.Space(), w.Whitened(), w.Space())
	}
	plain, white := transform(t, p, vs), transform(t, w, vs)
	var again reduce.PCAFitter // each component of the whitened has variance 1
	if err := again.Add(white...); err != nil {
		t.Fatal(err)
	}
	q, err := again.Fit(4)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "variance", q.ExplainedVariance(), []float64{1, 1, 1, 1}, 1e-5)
	for i := range vs {
		a, err := p.Inverse(plain[i])
		if err != nil {
			t.Fatal(err)
		}
		b, err := w.Inverse(white[i])
		if err != nil {
			t.Fatal(err)
		}
		if d, _ := similarity.Euclidean.Distance(a.Values, b.Values); d > 1e-4 {
			t.Fatalf("the inverses of vector %d are %v apart", i, d)
		}
	}
	var b bytes.Buffer
	if err := w.Save(&b); err != nil {
		t.Fatal(err)
	}
	if l, err := reduce.Load(&b); err != nil || !l.Whitened() || l.Space() != w.Space() {
		t.Errorf("loaded: %v", err)
	}
	flat := slices.Clone(vs)
	for i := range flat {
		flat[i] = vector.Vector{Space: space, Values: []float32{vs[i].Values[0], 1, 2}}
	}
	if _, err := fit(t, flat, 2).Whiten(); err == nil || !strings.Contains(err.Error(), "truncate the PCA to 1") {
		t.Errorf("whitened a component without variance: %v", err)
	}
}
