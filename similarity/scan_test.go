package similarity

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
)

// collection is what a bound of float32's error could go wrong on.
type collection struct {
	name string
	// told: the filter has to keep rows away. It cannot where values are so
	// near each other that float32 does not tell, or so small.
	told bool
	fill func(row []float32, i int)
}

func collections(rng *rand.Rand) []collection {
	each := func(value func(i, j int) float32) func([]float32, int) {
		return func(row []float32, i int) {
			for j := range row {
				row[j] = value(i, j)
			}
			if row[0] == 0 { // by cosine, not all may be
				row[0] = math.SmallestNonzeroFloat32
			}
		}
	}
	normal := func() float32 { return float32(rng.NormFloat64()) }
	signed := func(v float32) float32 { return float32(math.Copysign(float64(v), rng.NormFloat64())) }
	exponents := rng.Perm(70)
	return []collection{
		{"random", true, each(func(_, _ int) float32 { return normal() })},
		{"clustered", true, each(func(i, j int) float32 { return float32((i%7)*(j%5)) + normal()/100 + 0.1 })},
		{"duplicates", true, each(func(i, j int) float32 { return float32((i*j)%11+1) / 7 })},
		{"near ties", false, each(func(_, j int) float32 {
			return math.Float32frombits(math.Float32bits(float32(j%3)+0.7) + rng.Uint32N(2))
		})},
		{"large offset", false, each(func(_, _ int) float32 { return 1e6 + normal() })},
		{"huge", false, each(func(_, _ int) float32 { return signed(3e38 * rng.Float32()) })},
		{"denormal", false, each(func(_, _ int) float32 { return signed(math.SmallestNonzeroFloat32 * float32(1+rng.IntN(99))) })},
		{"squares underflow", false, each(func(_, _ int) float32 { return 1e-21 * normal() })},
		{"all sizes", false, each(func(i, _ int) float32 { return normal() * float32(math.Pow10(exponents[i%70]-35)) })},
		{"scaled copies", false, each(func(i, j int) float32 { return float32(i+1) * float32(j%4+1) })},
	}
}

// exact is what Nearest has to answer: each distance by the definition, all sorted.
func exact(t *testing.T, metric Metric, items map[string]vector.Vector, q []float32, k int) []Hit {
	t.Helper()
	var hits []Hit
	for id, v := range items {
		d, err := metric.Distance(q, v.Values)
		if err != nil {
			t.Fatal(err)
		}
		hits = append(hits, Hit{id, d})
	}
	slices.SortFunc(hits, compare)
	return hits[:min(k, len(hits))]
}

func byID(items []Item) map[string]vector.Vector {
	all := make(map[string]vector.Vector)
	for _, it := range items {
		all[it.ID] = it.Vector
	}
	return all
}

var metrics = []Metric{Euclidean, Cosine, InnerProduct}

// TestAnswersDoNotDependOnTheKernel wants the very distances and ids of brute
// force, to the last bit, from every kernel, for one query and for several,
// by number and by radius.
func TestAnswersDoNotDependOnTheKernel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const queries, most = 7, 20
	for _, c := range collections(rng) {
		for _, metric := range metrics {
			for _, dim := range []int{1, 2, 33, 64, 150, 1031} {
				rows := 40 + min(400, 20_000/dim) + rng.IntN(8)
				if dim == 64 && (c.name == "random" || c.name == "duplicates") {
					rows = 3 * loneWork / (dim * queries) // enough for several goroutines
				}
				items := make([]Item, rows)
				ids := rng.Perm(len(items))
				for i := range items {
					items[i] = Item{fmt.Sprintf("%06d", ids[i]), vector.Vector{Space: "s", Values: make([]float32, dim)}}
					c.fill(items[i].Vector.Values, i)
				}
				indexes := []*Index{NewIndex(metric), NewIndex(metric, Quantized())}
				for _, x := range indexes {
					if err := x.Add(items[queries-2:]...); err != nil { // two queries are there
						t.Fatal(err)
					}
				}
				all := byID(items[queries-2:])
				var qs []vector.Vector
				var want [][]Hit
				for _, it := range items[:queries] {
					qs = append(qs, it.Vector)
					want = append(want, exact(t, metric, all, it.Vector.Values, rows))
				}
				for kernel := simd.Portable; kernel <= simd.Best(); kernel++ {
					ask := func(name string, qs []vector.Vector, how goal, want func(i int) []Hit) {
						t.Helper()
						how.kernel = kernel
						for _, x := range indexes {
							got, err := x.Where(nil).find(t.Context(), qs, how)
							if err != nil {
								t.Fatal(err)
							}
							for i := range qs {
								if want := want(i); !slices.Equal(got[i], want) {
									t.Fatalf("%s, %v, %v, quantized %v, dim %d, %s, query %d of %d: got %v, want %v", c.name, metric, kernel, x.layout.quantized, dim, name, i, len(qs), got[i], want)
								}
							}
						}
					}
					for _, k := range []int{1, most} {
						first := func(i int) []Hit { return want[i][:min(k, len(want[i]))] }
						ask(fmt.Sprintf("k %d", k), qs, nearestGoal(k), first)
						ask(fmt.Sprintf("k %d", k), qs[:1], nearestGoal(k), first)
					}
					radius := want[0][min(most, len(want[0])-1)].Distance
					ask("within", qs, withinGoal(radius), func(i int) []Hit {
						n, _ := slices.BinarySearchFunc(want[i], radius, func(h Hit, r float64) int {
							if h.Distance <= r {
								return -1
							}
							return 1
						})
						return want[i][:n]
					})
				}
			}
		}
	}
}

// TestBoundHolds wants each row's score between its ends, the row in at its own
// distance, and, to see that the cut cuts, out somewhere below; of float32 and of
// codes.
func TestBoundHolds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, c := range collections(rng) {
		for _, metric := range metrics {
			for _, l := range []layout{{metric: metric}, {metric: metric, quantized: true}} {
				out := 0
				for _, dim := range []int{1, 3, 16, 150, 700} {
					out += boundHolds(t, c, l, dim)
				}
				if c.told && out == 0 {
					t.Errorf("%s, %+v: no row is ever out", c.name, l)
				}
			}
		}
	}
}

// boundHolds returns how many rows are out.
func boundHolds(t *testing.T, c collection, l layout, dim int) (out int) {
	t.Helper()
	const rows = simd.Block
	s := newSegment(rows, l.shape(dim))
	values := make([][]float32, rows+1)
	largest := 0.0
	for i := range values {
		values[i] = make([]float32, dim)
		c.fill(values[i], i)
		if i < rows {
			r := l.encode(values[i])
			s.set(i, "", r)
			largest = max(largest, r.length)
		}
	}
	b := l.bound(dim)
	dots, in := make([]float32, rows), make([]uint64, rows/simd.Block)
	for batch := range 2 {
		q := l.queries(1 + batch)()(values[rows])
		for kernel := simd.Portable; kernel <= simd.Best(); kernel++ {
			isIn := func(i int, highest float64) bool {
				cut := b.cut(&q, highest, largest)
				if l.quantized {
					kernel.ScanCodes(dots, in, q.codes, cut, s.codes, s.rough, rows)
				} else {
					kernel.Scan(dots, in, q.scanned, simd.Cut{Slope: cut.Slope, Limit: cut.Limit}, s.panels, s.rough, rows)
				}
				return in[i/simd.Block]>>(i%simd.Block)&1 != 0
			}
			isIn(0, 0)
			for i := range rows {
				low, high := b.endsOf(&q, &view{segment: s}, i, dots[i])
				d := l.metric.distance(&q, values[i], math.Inf(1))
				score := d
				if l.metric == Euclidean {
					score = d * d
				}
				if !(low <= score && score <= high) {
					t.Fatalf("%s, %+v, %v, dim %d: row %d's score %v is not between %v and %v", c.name, l, kernel, dim, i, score, low, high)
				}
				if !isIn(i, b.score(d)) {
					t.Fatalf("%s, %+v, %v, dim %d: row %d is out at its own distance, %v", c.name, l, kernel, dim, i, d)
				}
				if !isIn(i, score-0.1*math.Abs(score)) {
					out++
				}
			}
		}
	}
	return out
}

// What overflowed in float32 says nothing, whichever way.
func TestBoundIgnoresWhatOverflowed(t *testing.T) {
	inf := float32(math.Inf(1))
	q := query{square: 1, length: 1}
	for _, metric := range metrics {
		b := newBound(metric, 3)
		for _, dot := range []float32{inf, -inf, inf - inf} {
			if low, high := b.between(&q, 1, dot); !math.IsInf(low, -1) || !math.IsInf(high, 1) {
				t.Errorf("%v: a dot product of %v gives %v to %v", metric, dot, low, high)
			}
		}
		if cut := b.cut(&q, 0, 0x1p127); cut.Limit != -inf {
			t.Errorf("%v: where dot products may overflow, the cut is %v", metric, cut)
		}
		b = newBound(metric, 1<<23) // beyond what has a bound
		if low, _ := b.between(&q, 1, 0); !math.IsInf(low, -1) {
			t.Errorf("%v: without a bound, the lower end is %v", metric, low)
		}
		if cut := b.cut(&q, 0, 1); cut.Limit != -inf {
			t.Errorf("%v: without a bound, the cut is %v", metric, cut)
		}
	}
}

// TestFewRowsAreMeasured holds what the bound is for.
func TestFewRowsAreMeasured(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	const rows, dim, k = 20_000, 32, 10
	items := make([]Item, rows)
	for i := range items {
		items[i] = Item{fmt.Sprint(i), vector.Vector{Space: "s", Values: make([]float32, dim)}}
		for j := range dim {
			items[i].Vector.Values[j] = float32(rng.NormFloat64())
		}
	}
	for _, metric := range metrics {
		x := NewIndex(metric)
		if err := x.Add(items...); err != nil {
			t.Fatal(err)
		}
		s := scan{goal: nearestGoal(k), snapshot: x.table.snapshot(), bound: newBound(metric, dim)}
		var asked []vector.Vector
		for _, it := range items[:20] {
			asked = append(asked, it.Vector)
		}
		s.prepare(asked, x.layout.queries(len(asked)))
		answers, err := s.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range answers {
			if len(a.hits) != k || a.refined > 2*k || !a.proved {
				t.Errorf("%v, query %d: %d hits, %d rows measured, proved %v", metric, i, len(a.hits), a.refined, a.proved)
			}
		}
	}
}

// TestChangesAtRandom holds an index that changes against a map that does.
func TestChangesAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i, metric := range append(metrics, metrics...) {
		x := NewIndex(metric)
		if i >= len(metrics) {
			x = NewIndex(metric, Quantized())
		}
		c := &changes{rng: rng, ids: 900, adds: 150, deletes: 150, all: make(map[string]vector.Vector)}
		compacted := 0
		for round := range 300 {
			before := len(x.table.next.views)
			c.apply(t, x, round%50 == 49)
			if s := x.table.snapshot(); before > 0 && len(s.views) > 0 && s.views[0].rows < 2*s.live+2*simd.Block {
				compacted++
			}
			qs := []vector.Vector{c.random(), c.random()}
			keep := func(id string) bool { return !strings.HasSuffix(id, "7") }
			got, err := x.Where(keep).Nearest(t.Context(), qs, 12)
			if err != nil {
				t.Fatal(err)
			}
			kept := maps.Clone(c.all)
			maps.DeleteFunc(kept, func(id string, _ vector.Vector) bool { return !keep(id) })
			for i, q := range qs {
				if want := exact(t, metric, kept, q.Values, 12); !slices.Equal(got[i], want) {
					t.Fatalf("%v, round %d: got %v, want %v", metric, round, got[i], want)
				}
			}
		}
		if compacted == 0 {
			t.Errorf("%v: no segment was ever compacted", metric)
		}
	}
}

// TestSnapshotsStay replaces and deletes everything under searches: each must
// see all items at the same version.
func TestSnapshotsStay(t *testing.T) {
	const n, dim = 300, 3
	x := NewIndex(Euclidean)
	version := func(v float32) []Item {
		items := make([]Item, n)
		for i := range items {
			items[i] = Item{fmt.Sprint(i), vector.Vector{Space: "s", Values: []float32{v, 0, 0}}}
		}
		return items
	}
	if err := x.Add(version(1)...); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for v := range 200 {
			if err := x.Add(version(float32(v + 2))...); err != nil {
				t.Error(err)
			}
		}
	})
	seen := make(map[float64]bool)
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		hits, err := x.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: make([]float32, dim)}}, 2*n)
		if err != nil {
			t.Fatal(err)
		}
		if len(hits[0]) != n || hits[0][0].Distance != hits[0][n-1].Distance {
			t.Fatalf("%d hits, from %v to %v: want all %d of one version", len(hits[0]), hits[0][0], hits[0][len(hits[0])-1], n)
		}
		seen[hits[0][0].Distance] = true
	}
	wg.Wait()
	t.Logf("%d versions seen", len(seen))
	if !seen[201] {
		t.Error("the last version was not seen")
	}
}
