package similarity

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
)

// TestProjectedBoundHolds wants each row's score between its ends and the row in
// at its own distance, by every kernel, whatever the values, the mean, and what is
// usually left out; and some rows out somewhere below.
func TestProjectedBoundHolds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, c := range collections(rng) {
		out := 0
		for _, metric := range refinedMetrics {
			for _, shape := range [][2]int{{1, 1}, {2, 3}, {3, 20}, {20, 20}, {15, 100}} {
				p := randomProjection(rng, shape[0], shape[1])
				switch rng.IntN(3) {
				case 0:
					clear(p.mean)
				case 1: // one of the collection's own
					values := make([]float32, shape[1])
					c.fill(values, 3)
					copy(p.mean, appendFloat64s(nil, values))
				}
				left := []float64{0, 0.3, 50 * rng.Float64(), 1e-20, 1e20}[rng.IntN(5)]
				for _, quantized := range []bool{false, true} {
					e, err := newProjector(metric, explained{p, left})
					if err != nil {
						t.Fatal(err)
					}
					e.quantized = quantized
					out += projectedBoundHolds(t, c, e)
				}
			}
		}
		if c.told && out == 0 {
			t.Errorf("%s: no row is ever out", c.name)
		}
	}
}

// projectedBoundHolds returns how many rows are out.
func projectedBoundHolds(t *testing.T, c collection, e *projector) (out int) {
	t.Helper()
	const rows = simd.Block
	b := e.bound()
	s := newSegment(rows, e.shape(e.dim))
	values := make([][]float32, rows+1)
	largest := 0.0
	for i := range values {
		values[i] = make([]float32, e.dim)
		c.fill(values[i], i)
		if i < rows {
			r := e.encode(values[i])
			s.set(i, "", r)
			largest = max(largest, r.length)
		}
	}
	dots, in := make([]float32, rows), make([]uint64, 1)
	for batch := range 2 {
		q := e.queries(1 + batch)()(values[rows])
		for kernel := simd.Portable; kernel <= simd.Best(); kernel++ {
			isIn := func(i int, highest float64) bool {
				cut := b.cut(&q, highest, largest)
				if e.quantized {
					kernel.ScanCodes(dots, in, q.codes, cut, s.codes, s.rough, rows)
				} else {
					kernel.Scan(dots, in, q.scanned, simd.Cut{Slope: cut.Slope, Limit: cut.Limit}, s.panels, s.rough, rows)
				}
				return in[0]>>i&1 != 0
			}
			isIn(0, 0)
			for i := range rows {
				low, high := b.endsOf(&q, &view{segment: s}, i, dots[i])
				d := e.metric.distance(&q, values[i], math.Inf(1))
				score := b.score(d) // a little more than it is
				if !(low <= score) || !(score*(1-1e-13) <= high+4*b.slack) {
					t.Fatalf("%s, %v, quantized %v, %d of %d, %v left out, %v: row %d's score %v is not between %v and %v",
						c.name, e.metric, e.quantized, len(e.components), e.dim, e.usual, kernel, i, score, low, high)
				}
				if !isIn(i, score) {
					t.Fatalf("%s, %v, quantized %v, %d of %d, %v left out, %v: row %d is out at its own distance, %v",
						c.name, e.metric, e.quantized, len(e.components), e.dim, e.usual, kernel, i, d)
				}
				if !isIn(i, score-0.5*math.Abs(score)) {
					out++
				}
			}
		}
	}
	return out
}

// TestRefinedChangesAtRandom holds one that changes against a map that does.
func TestRefinedChangesAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for name, options := range refinedOptions {
		for _, metric := range refinedMetrics {
			x, err := NewRefined(metric, explained{randomProjection(rng, 3, 5), 0.5}, options...)
			if err != nil {
				t.Fatal(err)
			}
			c := &changes{rng: rng, ids: 900, adds: 150, deletes: 150, all: make(map[string]vector.Vector)}
			grown, compacted := 0, 0
			for round := range 300 {
				room := 0
				if views := x.table.next.views; len(views) > 0 {
					room = views[0].room()
				}
				c.apply(t, x, round%50 == 49)
				if views := x.table.next.views; room > 0 && len(views) > 0 && x.table.next.live > 0 {
					if views[0].room() > room {
						grown++
					} else if views[0].room() < room {
						compacted++
					}
				}
				qs := []vector.Vector{c.random(), c.random()}
				got, err := x.Nearest(t.Context(), qs, 12)
				if err != nil {
					t.Fatal(err)
				}
				for i, q := range qs {
					if want := exact(t, metric, c.all, q.Values, 12); !slices.Equal(got[i], want) {
						t.Fatalf("%s, %v, round %d: got %v, want %v", name, metric, round, got[i], want)
					}
				}
			}
			if grown == 0 || compacted == 0 {
				t.Errorf("%s, %v: a segment grew %d times and was compacted %d times", name, metric, grown, compacted)
			}
		}
	}
}

// TestProjectionsErrorIsBound compares what a projection of all directions makes
// of two vectors with themselves: without the kernel's error, the squares may
// differ by what the bound has beside that.
func TestProjectionsErrorIsBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 0))
	for i, metric := range append(refinedMetrics, refinedMetrics...) {
		const dim = 40
		left := []float64{0, 0, 0.7, 0.7}[i]
		e, err := newProjector(metric, explained{randomProjection(rng, dim, dim), left})
		if err != nil {
			t.Fatal(err)
		}
		b := e.bound()
		kernels, _ := simd.Bound(dim + 1)
		worst := 0.0
		for range 2000 {
			v := vectors(rng, 0, 1, dim)[0].Vector.Values
			w := slices.Clone(v)
			for d := range w {
				w[d] += 1e-3 * float32(rng.NormFloat64())
			}
			p, q := e.project(v), e.project(w)
			scanned := sumSquares(appendFloat64s(nil, p), q, math.Inf(1))
			d, err := metric.Distance(v, w)
			if err != nil {
				t.Fatal(err)
			}
			square := d * d
			if metric == Cosine {
				square = 2 * d
			}
			worst = max(worst, (math.Abs(scanned-square)-2*b.a)/(dot(p, p)+dot(q, q)))
		}
		if worst > b.g-kernels {
			t.Errorf("%v, %v left out: off by %g of the squares, the bound is %g", metric, left, worst, b.g-kernels)
		}
		if left == 0 && worst < 2*b.slack {
			t.Errorf("%v: off by %g of the squares: no test of the bound", metric, worst)
		}
	}
}
