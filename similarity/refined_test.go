package similarity

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// matrix is a Projection.
type matrix struct {
	space string
	rows  [][]float64
	mean  []float64
}

func (m *matrix) InputSpace() string        { return m.space }
func (m *matrix) Dim() int                  { return len(m.mean) }
func (m *matrix) Components() int           { return len(m.rows) }
func (m *matrix) Component(i int) []float64 { return m.rows[i] }
func (m *matrix) Mean() []float64           { return m.mean }

// randomProjection is an orthonormal one, within the rounding of float32.
func randomProjection(rng *rand.Rand, components, dim int) *matrix {
	p := &projector{mean: make([]float64, dim)}
	for range components {
		c := make([]float64, dim)
		for d := range c {
			c[d] = rng.NormFloat64()
		}
		p.components = append(p.components, c)
	}
	p.orthonormalize()
	for _, c := range p.components {
		for d := range c {
			c[d] = float64(float32(c[d]))
		}
	}
	for d := range p.mean {
		p.mean[d] = rng.NormFloat64()
	}
	return &matrix{"s", p.components, p.mean}
}

// explained is a Projection that usually leaves so much out.
type explained struct {
	*matrix
	left float64
}

func (p explained) ExplainedVariance() []float64    { return []float64{p.left * p.left} }
func (explained) ExplainedVarianceRatio() []float64 { return []float64{0.5} }

type whitening struct{ *matrix }

func (whitening) Whitened() bool { return true }

// refinedMetrics are those that a Refined takes.
var refinedMetrics = []Metric{Euclidean, Cosine}

// refinedOptions are the ways in which it scans.
var refinedOptions = map[string][]Option{"float32": nil, "codes": {Quantized()}}

// TestRefinedIsExact wants the answers of an Index, to the last bit, whatever
// the values and the projection.
func TestRefinedIsExact(t *testing.T) {
	for name, options := range refinedOptions {
		t.Run(name, func(t *testing.T) { testRefinedIsExact(t, options) })
	}
}

func testRefinedIsExact(t *testing.T, options []Option) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const rows, queries, k = 900, 8, 10
	for _, c := range collections(rng) {
		for _, metric := range refinedMetrics {
			for _, shape := range [][2]int{{1, 1}, {1, 2}, {3, 20}, {20, 20}, {15, 100}, {60, 300}} {
				dim := shape[1]
				plain := NewIndex(metric)
				left := []float64{0, rng.Float64(), 100 * rng.Float64()}[rng.IntN(3)]
				x, err := NewRefined(metric, explained{randomProjection(rng, shape[0], dim), left}, options...)
				if err != nil {
					t.Fatal(err)
				}
				if u := x.projector.usual; math.Abs(u-left) > 1e-9 && !(metric == Cosine && u == 0 && left > 1) {
					t.Fatalf("%v of %v is usually left out", u, left)
				}
				items := make([]Item, rows)
				ids := rng.Perm(rows)
				for i := range items {
					items[i] = Item{fmt.Sprintf("%06d", ids[i]), vector.Vector{Space: "s", Values: make([]float32, dim)}}
					c.fill(items[i].Vector.Values, i)
				}
				for _, c := range []Collection{plain, x} {
					if err := c.Add(items...); err != nil {
						t.Fatal(err)
					}
					for _, it := range items[:10] { // some move, and some go
						if err := c.Add(Item{it.ID, items[rows-1].Vector}); err != nil {
							t.Fatal(err)
						}
					}
					if err := c.Delete(items[10].ID, items[11].ID, "unknown"); err != nil {
						t.Fatal(err)
					}
				}
				var qs []vector.Vector
				for i := range queries {
					v := vector.Vector{Space: "s", Values: slices.Clone(items[20*i].Vector.Values)}
					if i%2 == 1 {
						c.fill(v.Values, i)
					}
					qs = append(qs, v)
				}
				for _, qs := range [][]vector.Vector{qs, qs[1:2]} {
					want, err := plain.Nearest(t.Context(), qs, k)
					if err != nil {
						t.Fatal(err)
					}
					got, work, err := x.Search(t.Context(), qs, k, 0)
					if err != nil {
						t.Fatal(err)
					}
					for i := range qs {
						if !slices.Equal(got[i], want[i]) || !work[i].Proved || work[i].Measured < k {
							t.Fatalf("%s, %v, %d of %d, query %d of %d: got %v by %+v, want %v", c.name, metric, shape[0], dim, i, len(qs), got[i], work[i], want[i])
						}
					}
					got, work, err = x.Search(t.Context(), qs, k, 40)
					if err != nil {
						t.Fatal(err)
					}
					for i := range qs {
						if work[i].Proved && !slices.Equal(got[i], want[i]) {
							t.Fatalf("%s, %v, %d of %d, query %d of %d: proved %v, want %v", c.name, metric, shape[0], dim, i, len(qs), got[i], want[i])
						}
						if work[i].Measured > 40 || len(got[i]) != k {
							t.Fatalf("%s, %v: %+v for %d hits, the limit is 40", c.name, metric, work[i], len(got[i]))
						}
					}
				}
			}
		}
	}
}

// lowRank are items near a plane of some dimensions, as embeddings are, and
// the projection to that.
func lowRank(rng *rand.Rand, n, components, dim int, noise float64) ([]Item, *matrix) {
	p := randomProjection(rng, components, dim)
	items := make([]Item, n)
	for i := range items {
		v := make([]float64, dim)
		copy(v, p.mean)
		for _, c := range p.rows {
			f := rng.NormFloat64()
			for d := range v {
				v[d] += f * c[d]
			}
		}
		items[i] = Item{fmt.Sprintf("%06d", i), vector.Vector{Space: "s", Values: make([]float32, dim)}}
		for d := range v {
			items[i].Vector.Values[d] = float32(v[d] + noise*rng.NormFloat64())
		}
	}
	return items, p
}

// TestRefinedSharesOneQuery has two goroutines scan for one query, and then measure
// what is left together.
func TestRefinedSharesOneQuery(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	const components, dim, k = 32, 48, 100
	rng := rand.New(rand.NewPCG(9, 0))
	items, p := lowRank(rng, loneWork/components+1000, components, dim, 0.4)
	asked, items := items[:2], items[2:]
	for name, options := range refinedOptions {
		t.Run(name, func(t *testing.T) {
			x, err := NewRefined(Euclidean, p, options...)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Add(items...); err != nil {
				t.Fatal(err)
			}
			all := byID(items)
			measured := 0
			for _, q := range asked {
				job := scan{goal: nearestGoal(k), snapshot: x.table.snapshot(), bound: x.bound}
				job.prepare([]vector.Vector{q.Vector}, x.projector.queries(1))
				job.divide()
				if job.workers != 2 {
					t.Fatalf("%d goroutines", job.workers)
				}
				answers, err := job.run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if want := exact(t, Euclidean, all, q.Vector.Values, k); !slices.Equal(answers[0].hits, want) || !answers[0].proved {
					t.Fatalf("got %v, want %v", answers[0], want)
				}
				measured += answers[0].refined
				// The collection's own helper does the same.
				if hits, err := x.Nearest(t.Context(), []vector.Vector{q.Vector}, k); err != nil || !slices.Equal(hits[0], answers[0].hits) {
					t.Fatalf("got %v, %v, want %v", hits, err, answers[0].hits)
				}
				sharedCandidates(t, x, q.Vector, k, answers[0].hits)
			}
			if measured < 4*k*len(asked) {
				t.Fatalf("%d vectors were measured: too few for two", measured)
			}
		})
	}
}

// sharedCandidates scans by hand, half of the rows for each of two, and wants both
// to measure what is left.
func sharedCandidates(t *testing.T, x *Refined, q vector.Vector, k int, want []Hit) {
	t.Helper()
	job := scan{goal: nearestGoal(k), snapshot: x.table.snapshot(), bound: x.bound}
	job.prepare([]vector.Vector{q}, x.projector.queries(1))
	job.divide()
	job.shared = make([]atomicMin, 1)
	job.shared[0].set(math.Inf(1))
	workers := []*worker{job.newWorker(0), job.newWorker(1)}
	for i, u := range job.units {
		workers[i%2].scanUnit(t.Context(), u)
	}
	first, second := &workers[0].searches[0], &workers[1].searches[0]
	// What the second one measured until now is told by the first.
	first.refined, second.refined = first.refined+second.refined, 0
	before, answers := first.refined, make([]answer, 1)
	job.conclude(t.Context(), workers, answers)
	if !slices.Equal(answers[0].hits, want) {
		t.Fatalf("by hand: got %v, want %v", answers[0].hits, want)
	}
	left := answers[0].refined - before
	if second.refined == 0 || second.refined >= left {
		t.Fatalf("of %d candidates that were left and measured, the second one took %d", left, second.refined)
	}
}

// TestRefinedMeasuresFew holds what it is for, and that a limit limits.
func TestRefinedMeasuresFew(t *testing.T) {
	for name, options := range refinedOptions {
		t.Run(name, func(t *testing.T) { testRefinedMeasuresFew(t, options) })
	}
}

func testRefinedMeasuresFew(t *testing.T, options []Option) {
	rng := rand.New(rand.NewPCG(8, 0))
	const rows, k = 20_000, 10
	items, p := lowRank(rng, rows+20, 12, 96, 0.05)
	for _, metric := range refinedMetrics {
		if metric == Cosine { // of vectors as long as 1, which p.mean is then the mean of
			clear(p.mean)
			for _, it := range items {
				length := float32(math.Sqrt(dot(it.Vector.Values, it.Vector.Values)))
				for d := range it.Vector.Values {
					it.Vector.Values[d] /= length
					p.mean[d] += float64(it.Vector.Values[d]) / float64(len(items))
				}
			}
		}
		x, err := NewRefined(metric, p, options...)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Add(items[20:]...); err != nil {
			t.Fatal(err)
		}
		var qs []vector.Vector
		for _, it := range items[:20] {
			qs = append(qs, it.Vector)
		}
		exact, work, err := x.Search(t.Context(), qs, k, 0)
		if err != nil {
			t.Fatal(err)
		}
		plain := NewIndex(metric)
		if err := plain.Add(items[20:]...); err != nil {
			t.Fatal(err)
		}
		want, err := plain.Nearest(t.Context(), qs, k)
		if err != nil {
			t.Fatal(err)
		}
		for i := range qs {
			alone, err := x.Nearest(t.Context(), qs[i:i+1], k)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(exact[i], want[i]) || !slices.Equal(alone[0], want[i]) {
				t.Fatalf("%v, query %d: got %v, alone %v, want %v", metric, i, exact[i], alone[0], want[i])
			}
		}
		most := 0
		for _, w := range work {
			most = max(most, w.Measured)
		}
		t.Logf("%v: at most %d of %d items measured", metric, most, rows)
		if most > rows/50 {
			t.Errorf("%v: %d of %d items measured", metric, most, rows)
		}
		near, work, err := x.Search(t.Context(), qs, k, k)
		if err != nil {
			t.Fatal(err)
		}
		unproved, found := 0, 0
		for i, w := range work {
			if w.Measured != k {
				t.Errorf("%v, query %d: %d measured, the limit is %d", metric, i, w.Measured, k)
			}
			if !w.Proved {
				unproved++
			}
			for _, h := range near[i] {
				if slices.Contains(exact[i], h) {
					found++
				}
			}
		}
		t.Logf("%v: of %d, %d unproved, %d of %d hits found", metric, len(qs), unproved, found, k*len(qs))
		if unproved == 0 || found < k*len(qs)/2 {
			t.Errorf("%v: %d of %d unproved, %d hits found", metric, unproved, len(qs), found)
		}
		all, work, err := x.Search(t.Context(), qs, k, 2000)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range work {
			if !w.Proved || !slices.Equal(all[i], exact[i]) {
				t.Errorf("%v, query %d: %+v with a generous limit", metric, i, w)
			}
		}
	}
}

func TestRefinedRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	scaled := randomProjection(rng, 3, 5)
	for d := range scaled.rows[1] {
		scaled.rows[1][d] *= 2.5
	}
	short := randomProjection(rng, 3, 5)
	short.rows[2] = short.rows[2][:4]
	broken := randomProjection(rng, 3, 5)
	broken.rows[0][2] = math.NaN()
	for _, c := range []struct {
		name   string
		metric Metric
		p      Projection
		want   string
	}{
		{"scaled", Euclidean, scaled, "not orthonormal"},
		{"whitens", Euclidean, whitening{randomProjection(rng, 3, 5)}, "whitens"},
		{"short", Euclidean, short, "component 2 has 4"},
		{"NaN", Cosine, broken, "not orthonormal"},
		{"none", Euclidean, &matrix{"s", nil, make([]float64, 5)}, "0 components"},
		{"inner product", InnerProduct, randomProjection(rng, 3, 5), "inner product"},
		{"metric", Metric(9), randomProjection(rng, 3, 5), "Metric(9)"},
	} {
		if _, err := NewRefined(c.metric, c.p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	x, err := NewRefined(Euclidean, randomProjection(rng, 3, 5))
	if err != nil {
		t.Fatal(err)
	}
	good := Item{"a", vector.Vector{Space: "s", Values: make([]float32, 5)}}
	err = x.Add(good, Item{"b", vector.Vector{Space: "reduced", Values: make([]float32, 5)}})
	if e, ok := errors.AsType[*vector.SpaceError](err); !ok || e.Want != "s" || !stage.IsPermanent(err) || x.Len() != 0 {
		t.Errorf("another space: error %v, %d items", err, x.Len())
	}
	var zero Refined
	if err := zero.Add(good); err == nil || !strings.Contains(err.Error(), "NewRefined") {
		t.Errorf("the zero Refined: error %v", err)
	}
}
