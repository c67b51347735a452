package similarity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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
		{"all sizes", true, each(func(i, _ int) float32 { return normal() * float32(math.Pow10(exponents[i%70]-35)) })},
		{"scaled copies", false, each(func(i, j int) float32 { return float32(i+1) * float32(j%4+1) })},
	}
}

// exact is what Nearest has to answer: each distance by the definition, all sorted.
func exact(t *testing.T, x *Index, q []float32, k int) []Hit {
	t.Helper()
	hits := make([]Hit, len(x.ids))
	for i, id := range x.ids {
		d, err := x.metric.Distance(q, x.rows[i*x.dim:(i+1)*x.dim])
		if err != nil {
			t.Fatal(err)
		}
		hits[i] = Hit{id, d}
	}
	slices.SortFunc(hits, compare)
	return hits[:min(k, len(hits))]
}

// TestAnswersDoNotDependOnTheKernel wants the very distances and ids of brute
// force, to the last bit, from every kernel.
func TestAnswersDoNotDependOnTheKernel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const queries, most = 7, 20
	for _, c := range collections(rng) {
		for _, metric := range []Metric{Euclidean, Cosine} {
			for _, dim := range []int{1, 2, 5, 33, 64, 150, 384, 1031, 4099} {
				x := NewIndex(metric)
				rows := 40 + min(400, 20_000/dim) + rng.IntN(8)
				if dim == 64 {
					rows = 5 * chunk / 4 / (dim * queries) // enough for several goroutines
				}
				items := make([]Item, rows)
				ids := rng.Perm(len(items))
				for i := range items {
					items[i] = Item{fmt.Sprintf("%06d", ids[i]), vector.Vector{Space: "s", Values: make([]float32, dim)}}
					c.fill(items[i].Vector.Values, i)
				}
				if err := x.Add(items[queries-2:]...); err != nil { // two queries are there
					t.Fatal(err)
				}
				var qs []vector.Vector
				var want [][]Hit
				for _, it := range items[:queries] {
					qs = append(qs, it.Vector)
					want = append(want, exact(t, x, it.Vector.Values, most))
				}
				for kernel := simd.Portable; kernel <= simd.Best(); kernel++ {
					for _, k := range []int{1, most} {
						got, err := x.scan(t.Context(), kernel, qs, k)
						if err != nil {
							t.Fatal(err)
						}
						for i := range qs {
							if want := want[i][:min(k, x.Len())]; !slices.Equal(got[i], want) {
								t.Fatalf("%s, %v, %v, dim %d, k %d, query %d: got %v, want %v", c.name, metric, kernel, dim, k, i, got[i], want)
							}
						}
					}
				}
			}
		}
	}
}

// TestFilterKeepsAwayNoneThatIsIn cuts at each row's own distance, which the
// row does not exceed, and then, to see that it keeps any away, below that.
func TestFilterKeepsAwayNoneThatIsIn(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, c := range collections(rng) {
		for _, metric := range []Metric{Euclidean, Cosine} {
			out := 0
			for _, dim := range []int{1, 3, 16, 100, 384, 2000} {
				const rows = 200
				x := Index{metric: metric, dim: dim}
				all := make([]float32, (rows+1)*dim)
				for i := range rows + 1 {
					c.fill(all[i*dim:(i+1)*dim], i)
				}
				q, all := newQuery(all[:dim]), all[dim:]
				dots := make([]float32, rows)
				for kernel := simd.Portable; kernel <= simd.Best(); kernel++ {
					f := x.newFilter(kernel)
					kernel.Dots(dots, q.single, all)
					for i, dot := range dots {
						row := all[i*dim : (i+1)*dim]
						size := metric.size(row)
						best := topK{k: 1, heap: []Hit{{Distance: x.distance(&q, row, math.Inf(1))}}}
						if f.cut(&q, best.worst(), best.worstSquare()).keepsAway(size, dot) {
							t.Fatalf("%s, %v, %v, dim %d: row %d is kept away at its own distance, %v", c.name, metric, kernel, dim, i, best.worst())
						}
						best.heap[0].Distance *= 0.9
						if f.cut(&q, best.worst(), best.worstSquare()).keepsAway(size, dot) {
							out++
						}
					}
				}
			}
			if c.told && out == 0 {
				t.Errorf("%s, %v: no row is ever kept away", c.name, metric)
			}
		}
	}
}

// What overflowed in float32 says nothing, whichever way.
func TestFilterIgnoresWhatOverflowed(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, dot := range []float32{inf, -inf, inf - inf} {
		if (cut{1, 0}).keepsAway(1, dot) {
			t.Errorf("a dot product of %v keeps a row away", dot)
		}
	}
	if !(cut{1, 0}).keepsAway(1, 0.5) {
		t.Error("a finite dot product does not keep a row away")
	}
	x := Index{dim: 1 << 23} // beyond what has a bound
	q := query{square: 1}
	if x.newFilter(simd.Portable).cut(&q, 0, 0).keepsAway(math.MaxFloat64, 0) {
		t.Error("without a bound, a row is kept away")
	}
}
