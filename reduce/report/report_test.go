package report_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/reduce/report"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// decaying has variances 1, 1/4, 1/9... in a basis that is not the axes'.
func decaying(seed uint64, n, dim int) []vector.Vector {
	rng := rand.New(rand.NewPCG(seed, 0))
	vs := make([]vector.Vector, n)
	for i := range vs {
		values := make([]float32, dim)
		for j := range values {
			values[j] = float32(rng.NormFloat64() / float64(j+1))
		}
		for j := 0; j+1 < dim; j++ { // turn
			a, b := values[j], values[j+1]
			values[j], values[j+1] = 0.6*a-0.8*b, 0.8*a+0.6*b
		}
		vs[i] = vector.Vector{Space: "test", Values: values}
	}
	return vs
}

func TestMeasure(t *testing.T) {
	vs := decaying(1, 2000, 20)
	var told []string
	r, err := report.Measure(t.Context(), vs, report.Options{Sizes: []int{20, 1, 4, 10, 4}, K: 5, Queries: 100, Log: func(s string) { told = append(told, s) }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Dim != 20 || r.Vectors != 1900 || r.Queries != 100 || r.K != 5 || len(r.Sizes) != 4 || len(told) != 4 {
		t.Fatalf("%+v, told %q", r, told)
	}
	total := 0.0
	for j := range 20 {
		total += 1 / float64((j+1)*(j+1))
	}
	last := report.Size{RelativeError: 1}
	for i, s := range r.Sizes {
		if s.Components != []int{1, 4, 10, 20}[i] {
			t.Fatalf("sizes %+v", r.Sizes)
		}
		kept := 0.0
		for j := range s.Components {
			kept += 1 / float64((j+1)*(j+1)) / total
		}
		if math.Abs(s.Variance-kept) > 0.03 || math.Abs(s.RelativeError-(1-kept)) > 0.06 {
			t.Errorf("%d components: %+v, want a variance of %.3f", s.Components, s, kept)
		}
		if s.Recall <= last.Recall || s.First < last.First || s.RelativeError >= last.RelativeError || s.Error >= last.Error && i > 0 {
			t.Errorf("%+v is no better than %+v", s, last)
		}
		// No fewer than those that are found, and hardly more where all is kept.
		if s.Refined < 5./1900 || s.Refined95 < s.Refined || i > 0 && s.Refined >= last.Refined {
			t.Errorf("%+v measures no fewer than %+v", s, last)
		}
		last = s
	}
	if last.Recall != 1 || last.First != 1 || last.RelativeError > 1e-9 || last.Refined > 0.02 || r.Sizes[0].Refined < 0.05 || r.Sizes[0].Recall > 0.3 {
		t.Errorf("all components: %+v, one: %+v", last, r.Sizes[0])
	}
}

// Recall, counted by hand: of vectors whose first value alone matters to the
// PCA, what a search by that value finds.
func TestRecallByHand(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	vs := make([]vector.Vector, 400)
	for i := range vs {
		vs[i] = vector.Vector{Space: "test", Values: []float32{float32(10 * rng.NormFloat64()), float32(rng.NormFloat64())}}
	}
	r, err := report.Measure(t.Context(), vs, report.Options{Sizes: []int{1}, K: 3, Queries: 40, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	shuffled := slices.Clone(vs)
	rand.New(rand.NewPCG(7, 0)).Shuffle(len(vs), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	nearest := func(q vector.Vector, distance func(a, b []float32) float64) []vector.Vector {
		base := slices.Clone(shuffled[40:])
		slices.SortFunc(base, func(a, b vector.Vector) int {
			if distance(q.Values, a.Values) < distance(q.Values, b.Values) {
				return -1
			}
			return 1
		})
		return base[:3]
	}
	full := func(a, b []float32) float64 { d, _ := similarity.Euclidean.Distance(a, b); return d }
	kept := 0
	for _, q := range shuffled[:40] {
		truth := nearest(q, full)
		for _, v := range nearest(q, func(a, b []float32) float64 { return math.Abs(float64(a[0] - b[0])) }) {
			if slices.ContainsFunc(truth, func(w vector.Vector) bool { return &w.Values[0] == &v.Values[0] }) {
				kept++
			}
		}
	}
	// The component is not quite the axis, which may exchange a few.
	if math.Abs(r.Sizes[0].Recall-float64(kept)/120) > 0.05 {
		t.Errorf("recall %v, want about %v", r.Sizes[0].Recall, float64(kept)/120)
	}
}

// Copies are as near as each other: which of them is found does not matter.
func TestEquallyNear(t *testing.T) {
	vs := slices.Concat(decaying(3, 60, 4), decaying(3, 60, 4), decaying(3, 60, 4))
	r, err := report.Measure(t.Context(), vs, report.Options{Sizes: []int{4}, K: 1, Queries: 20})
	if err != nil || r.Sizes[0].Recall != 1 || r.Sizes[0].First != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMeasureErrors(t *testing.T) {
	vs := decaying(4, 50, 3)
	other := slices.Clone(vs)
	other[7].Space = "other"
	for want, try := range map[string]func() (*report.Report, error){
		"too few":  func() (*report.Report, error) { return report.Measure(t.Context(), vs[:10], report.Options{}) },
		"vector 7": func() (*report.Report, error) { return report.Measure(t.Context(), other, report.Options{}) },
		"from 1 to 3": func() (*report.Report, error) {
			return report.Measure(t.Context(), vs, report.Options{Sizes: []int{2, 4}})
		},
		"sizes [0]": func() (*report.Report, error) {
			return report.Measure(t.Context(), vs, report.Options{Sizes: []int{0}})
		},
		"the 46 nearest": func() (*report.Report, error) { return report.Measure(t.Context(), vs, report.Options{K: 46}) },
		"26 queries":     func() (*report.Report, error) { return report.Measure(t.Context(), vs, report.Options{Queries: 26}) },
		"vectors are equ": func() (*report.Report, error) {
			return report.Measure(t.Context(), slices.Repeat(vs[:1], 30), report.Options{})
		},
	} {
		if _, err := try(); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "report: ") {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := report.Measure(ctx, vs, report.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDefaultSizesAndTable(t *testing.T) {
	r, err := report.Measure(t.Context(), decaying(5, 300, 60), report.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, s := range r.Sizes {
		sizes = append(sizes, s.Components)
	}
	if !slices.Equal(sizes, []int{2, 5, 10, 25, 50, 60}) || r.Queries != 30 || r.K != 10 {
		t.Errorf("%+v", r)
	}
	var b bytes.Buffer
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"270 vectors of 60 values; the nearest of 30 others", "10 nearest kept | refined: median, p95 |", "\n| 60 | 240 | 100.0 % |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}
