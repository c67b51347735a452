package reduce_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity/vector"
)

func TestEqualsScikitLearn(t *testing.T) {
	b, err := os.ReadFile("testdata/pca_golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		X                      [][]float32
		Mean                   []float64
		Components             [][]float64
		ExplainedVariance      []float64 `json:"explained_variance"`
		ExplainedVarianceRatio []float64 `json:"explained_variance_ratio"`
		Transformed            [][]float64
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	vs := make([]vector.Vector, len(golden.X))
	for i, x := range golden.X {
		vs[i] = vector.Vector{Space: space, Values: x}
	}
	p := fit(t, vs, 4)
	near(t, "mean", p.Mean(), golden.Mean, 1e-12)
	nearVariances(t, p.ExplainedVariance(), golden.ExplainedVariance)
	near(t, "ratio", p.ExplainedVarianceRatio(), golden.ExplainedVarianceRatio, 1e-7)
	for k, c := range golden.Components { // the last one's variance is 1/500 of the first's, and near the next
		near(t, "component", p.Component(k), c, 1e-4)
	}
	for i, v := range transform(t, p, vs) {
		got := make([]float64, len(v.Values))
		for j, x := range v.Values {
			got[j] = float64(x)
		}
		near(t, "transformed", got, golden.Transformed[i], 1e-4)
	}
}

func TestMergeEqualsOnePass(t *testing.T) {
	for _, far := range []struct {
		offset    float32 // of the second shard, whose mean is its own
		component float64 // tolerance
	}{
		{7, 1e-4},
		// The variance between the shards is a thousand times the next one, and
		// float32 is off by parts of it: see PCAFitter.
		{-40, 5e-3},
	} {
		vs := append(random(5, 700, 9, 10), random(6, 333, 9, far.offset)...)
		want := fit(t, vs, 5)
		for _, cut := range []int{0, 1, 256, 700, len(vs)} {
			var a, b reduce.PCAFitter
			if err := errors.Join(a.Add(vs[:cut]...), b.Add(vs[cut:]...), a.Merge(&b)); err != nil {
				t.Fatal(err)
			}
			if a.Count() != len(vs) {
				t.Fatalf("count %d, want %d", a.Count(), len(vs))
			}
			got, err := a.Fit(5)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "mean", got.Mean(), want.Mean(), 1e-12)
			nearVariances(t, got.ExplainedVariance(), want.ExplainedVariance())
			for k := range 5 {
				near(t, "component", got.Component(k), want.Component(k), far.component)
			}
		}
	}
}

func TestAddGoesOnAfterFitAndMerge(t *testing.T) {
	vs := random(7, 900, 6, 2)
	var a, b reduce.PCAFitter
	if err := errors.Join(a.Add(vs[:100]...), b.Add(vs[100:300]...)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Fit(2); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.Merge(&b), a.Add(vs[300:]...)); err != nil {
		t.Fatal(err)
	}
	got, err := a.Fit(6)
	if err != nil {
		t.Fatal(err)
	}
	nearVariances(t, got.ExplainedVariance(), fit(t, vs, 6).ExplainedVariance())
}

// Sums of squares about 0 would leave nothing of a variance of 1 beside a mean
// of a million.
func TestFarFromZero(t *testing.T) {
	const offset = 1e6
	vs := random(8, 2000, 5, offset)
	moved := make([]vector.Vector, len(vs))
	for i, v := range vs {
		moved[i] = vector.Vector{Space: space, Values: slices.Clone(v.Values)}
		for j := range v.Values {
			moved[i].Values[j] -= offset // exact in float32: the values are near
		}
	}
	got, want := fit(t, vs, 5), fit(t, moved, 5)
	nearVariances(t, got.ExplainedVariance(), want.ExplainedVariance())
	for k := range 5 {
		near(t, "component", got.Component(k), want.Component(k), 1e-4)
	}
}

func TestFitterErrors(t *testing.T) {
	vs := random(12, 10, 4, 0)
	var f reduce.PCAFitter
	if _, err := f.Fit(1); err == nil || !strings.Contains(err.Error(), "at least 2 vectors") {
		t.Errorf("nothing to fit: error %v", err)
	}
	if err := f.Add(vs[:3]...); err != nil {
		t.Fatal(err)
	}
	for components, want := range map[int]string{0: "at least 1", 4: "too few vectors", 5: "no more than 4"} {
		if _, err := f.Fit(components); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d components: error %v, want one with %q", components, err, want)
		}
	}
	for name, bad := range map[string]vector.Vector{
		"another space": {Space: "other", Values: []float32{1, 2, 3, 4}},
		"too short":     {Space: space, Values: []float32{1}},
		"NaN":           {Space: space, Values: []float32{1, 2, 3, float32(math.NaN())}},
	} {
		if err := f.Add(vs[4], bad); err == nil || f.Count() != 3 {
			t.Errorf("%s: error %v and count %d, want an error and 3", name, err, f.Count())
		}
	}
	var other reduce.PCAFitter
	if err := other.Add(vector.Vector{Space: "other", Values: []float32{1, 2, 3, 4}}); err != nil {
		t.Fatal(err)
	}
	if err := f.Merge(&other); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("merging two spaces: error %v", err)
	}
	if err := f.Merge(&f); err == nil {
		t.Error("merged with itself")
	}
}

func TestEqualVectorsHaveNoVariance(t *testing.T) {
	for _, values := range [][]float32{{1, 2, 3}, {0, 0}, {0.1, 1e20, -1e-20}} {
		var f reduce.PCAFitter
		if err := f.Add(slices.Repeat([]vector.Vector{{Space: space, Values: values}}, 1000)...); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Fit(1); err == nil || !strings.Contains(err.Error(), "all 1000 vectors are equal") {
			t.Errorf("%v: error %v", values, err)
		}
		if _, err := f.FitVariance(0.5); err == nil || !strings.Contains(err.Error(), "equal") {
			t.Errorf("%v: error %v", values, err)
		}
	}
}

// A variance is not taken for rounding if one vector differs in its last bit.
func TestLastBitIsVariance(t *testing.T) {
	vs := slices.Repeat([]vector.Vector{{Space: space, Values: []float32{1, 2, 3}}}, 1000)
	vs[700] = vector.Vector{Space: space, Values: []float32{math.Nextafter32(1, 2), 2, 3}}
	if c := fit(t, vs, 1).Component(0); c[0] < 0.999 {
		t.Errorf("component %v", c)
	}
}

func TestFitVariance(t *testing.T) {
	vs := random(20, 500, 12, 3)
	ratio := fit(t, vs, 12).ExplainedVarianceRatio()
	var f reduce.PCAFitter
	if err := f.Add(vs...); err != nil {
		t.Fatal(err)
	}
	for _, fraction := range []float64{1e-9, 0.3, 0.5, 0.9, 0.99, 0.999999} {
		p, err := f.FitVariance(fraction)
		if err != nil {
			t.Fatal(err)
		}
		n := p.Components()
		kept := func(n int) (sum float64) {
			for _, r := range ratio[:n] {
				sum += r
			}
			return sum
		}
		if kept(n) <= fraction && n < 12 || kept(n-1) > fraction {
			t.Errorf("%v of the variance: %d components keep %v, one less %v", fraction, n, kept(n), kept(n-1))
		}
		if p.Space() != fit(t, vs, n).Space() {
			t.Errorf("%v of the variance: not the PCA of %d components", fraction, n)
		}
	}
	for _, fraction := range []float64{0, 1, -0.5, 150, math.NaN()} {
		if _, err := f.FitVariance(fraction); err == nil || !strings.Contains(err.Error(), "above 0 and below 1") {
			t.Errorf("%v of the variance: error %v", fraction, err)
		}
	}
	if _, err := new(reduce.PCAFitter).FitVariance(0.5); err == nil {
		t.Error("fitted to nothing")
	}
}

// TestFitterKeepsNoVector holds what a fitter keeps, after few vectors and after
// many, against its promise.
func TestFitterKeepsNoVector(t *testing.T) {
	const dim = 256
	held := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var f reduce.PCAFitter
	before, few := held(), int64(0)
	for round, n := range []int{1000, 50_000} { // of the many, 51 MB
		for ; n > 0; n -= 500 {
			if err := f.Add(random(uint64(n), min(n, 500), dim, 0)...); err != nil {
				t.Fatal(err)
			}
		}
		kept, promised := held()-before, int64(4*dim*dim+6_000*dim)
		if kept > promised+promised/4 {
			t.Errorf("round %d: %d bytes for %d vectors of %d values, promised are %d", round, kept, f.Count(), dim, promised)
		}
		t.Logf("%d vectors: %d bytes, promised are %d", f.Count(), kept, promised)
		if round == 0 {
			few = kept
		} else if grown := kept - few; grown > 100_000 { // 2 bytes for each
			t.Errorf("%d bytes more after %d vectors than after the first ones", grown, f.Count())
		}
	}
	runtime.KeepAlive(&f)
}

func BenchmarkFit(b *testing.B) {
	vs := random(1, 30_445, 768, 0)
	b.Run("add 30445x768", func(b *testing.B) {
		for b.Loop() {
			var f reduce.PCAFitter
			if err := f.Add(vs...); err != nil {
				b.Fatal(err)
			}
		}
	})
	var f reduce.PCAFitter
	if err := f.Add(vs...); err != nil {
		b.Fatal(err)
	}
	b.Run("eigenvectors 768", func(b *testing.B) {
		for b.Loop() {
			if _, err := f.Fit(150); err != nil {
				b.Fatal(err)
			}
		}
	})
	p, err := f.Fit(150)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("transform 384 to 150", func(b *testing.B) {
		for b.Loop() {
			if _, err := p.Transform(b.Context(), vs[:1]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
