package similaritytest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// Open returns a Finder over the items, which are all of one space, by the
// metric. It fails the test if it cannot. The Finder is used until the end of
// the test t, so what it needs to close belongs into t.Cleanup.
type Open func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder

// OpenFiltered is [Open] for a Finder that leaves out, by its store's own way to
// do so, the items whose ids are in without. Some of them are no item's.
type OpenFiltered func(t *testing.T, metric similarity.Metric, items []similarity.Item, without []string) similarity.Finder

const (
	space     = "conformance"
	tolerance = 1e-6
	seed      = 20
)

// TestFinder checks what similarity.Finder promises, on small collections: the
// ids and, within 1e-6, the distances of the definition; ties by id; k above
// the number of items; batches, empty ones too; bad queries, which must fail
// alone; and, as [similarity.Nearest], what a stage asks of a transform
// ([stagetest.TestTransform]). It opens three Finders.
func TestFinder(t *testing.T, open Open) {
	for _, metric := range []similarity.Metric{similarity.Euclidean, similarity.Cosine} {
		t.Run(metric.String(), func(t *testing.T) {
			items := collection()
			f := open(t, metric, items)
			t.Run("nearest", func(t *testing.T) { testNearest(t, f, metric, items) })
			t.Run("ties", func(t *testing.T) { testTies(t, f, metric, items) })
			t.Run("empty batch", func(t *testing.T) { testEmptyBatch(t, f) })
			t.Run("bad k", func(t *testing.T) { testBadK(t, f, items) })
			t.Run("bad queries", func(t *testing.T) { testBadQueries(t, f, metric, items) })
			t.Run("cancelled", func(t *testing.T) { testCancelled(t, f, items) })
			if metric == similarity.Euclidean {
				testTransform(t, f)
			}
		})
	}
	t.Run("one item", func(t *testing.T) {
		items := collection()[:1]
		f := open(t, similarity.Euclidean, items)
		testNearest(t, f, similarity.Euclidean, items)
	})
}

// TestFiltered checks a Finder that leaves items out: the k nearest are those of
// the others, as many as without; ties too; and where nothing is left, or
// nothing is left out. It opens four Finders.
func TestFiltered(t *testing.T, open OpenFiltered) {
	items := collection()
	var odd, all []string
	for i, it := range items {
		all = append(all, it.ID)
		if i%2 == 1 {
			odd = append(odd, it.ID)
		}
	}
	for name, without := range map[string][]string{
		"nothing": nil,
		"odd":     append(odd, "nobody's", "'; DROP TABLE items; --"),
		"ties":    {"tie-a", "tie-c"},
		"all":     all,
	} {
		t.Run("without "+name, func(t *testing.T) {
			f := open(t, similarity.Euclidean, items, without)
			kept := slices.DeleteFunc(slices.Clone(items), func(it similarity.Item) bool { return slices.Contains(without, it.ID) })
			queries := append(randomQueries(5), items[1].Vector, items[len(items)-1].Vector)
			for _, k := range []int{1, 4, len(items)} {
				got, err := f.Nearest(t.Context(), queries, k)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != len(queries) {
					t.Fatalf("k %d: %d answers to %d queries", k, len(got), len(queries))
				}
				for i, q := range queries {
					same(t, fmt.Sprintf("k %d, query %d", k, i), got[i], want(t, similarity.Euclidean, kept, q, k))
				}
			}
		})
	}
}

const dim = 12

// collection has ids that a careless query would trip over, and vectors that
// are there several times under ids whose order is not that of insertion.
func collection() []similarity.Item {
	rng := rand.New(rand.NewPCG(seed, 0))
	var items []similarity.Item
	add := func(id string, values []float32) {
		items = append(items, similarity.Item{ID: id, Vector: vector.Vector{Space: space, Values: values}})
	}
	for _, id := range []string{"it's", `quo"ted`, "back`tick", "nul'; DROP TABLE items; --", "ünïcode ✓", "line\nbreak", "@k", "10", "9"} {
		add(id, randomValues(rng))
	}
	for i := range 60 {
		add(fmt.Sprintf("item-%02d", (i*37)%60), randomValues(rng))
	}
	same := randomValues(rng)
	for _, id := range []string{"tie-c", "tie-a", "tie-d", "tie-b"} {
		add(id, slices.Clone(same))
	}
	return items
}

func randomValues(rng *rand.Rand) []float32 {
	values := make([]float32, dim)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	return values
}

func randomQueries(n int) []vector.Vector {
	rng := rand.New(rand.NewPCG(seed, 1))
	queries := make([]vector.Vector, n)
	for i := range queries {
		queries[i] = vector.Vector{Space: space, Values: randomValues(rng)}
	}
	return queries
}

func want(t *testing.T, metric similarity.Metric, items []similarity.Item, q vector.Vector, k int) []similarity.Hit {
	t.Helper()
	hits := make([]similarity.Hit, len(items))
	for i, it := range items {
		d, err := metric.Distance(q.Values, it.Vector.Values)
		if err != nil {
			t.Fatal(err)
		}
		hits[i] = similarity.Hit{ID: it.ID, Distance: d}
	}
	slices.SortFunc(hits, func(a, b similarity.Hit) int {
		// Distances this close may come either way round out of other arithmetic;
		// none of the collection's are, but for the ties.
		if math.Abs(a.Distance-b.Distance) < 1e-12 {
			return strings.Compare(a.ID, b.ID)
		}
		if a.Distance < b.Distance {
			return -1
		}
		return 1
	})
	return hits[:min(k, len(hits))]
}

func same(t *testing.T, name string, got, want []similarity.Hit) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d hits, want %d: got %v", name, len(got), len(want), got)
	}
	for i := range got {
		if got[i].ID != want[i].ID || !(math.Abs(got[i].Distance-want[i].Distance) <= tolerance) {
			t.Fatalf("%s: hit %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

func testNearest(t *testing.T, f similarity.Finder, metric similarity.Metric, items []similarity.Item) {
	t.Logf("seed %d", seed)
	queries := append(randomQueries(17), items[0].Vector, items[0].Vector) // the same question twice is two answers
	for _, k := range []int{1, 5, len(items), len(items) + 10, math.MaxInt32} {
		got, err := f.Nearest(t.Context(), queries, k)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(queries) {
			t.Fatalf("k %d: %d answers to %d queries", k, len(got), len(queries))
		}
		for i, q := range queries {
			same(t, fmt.Sprintf("k %d, query %d", k, i), got[i], want(t, metric, items, q, k))
		}
	}
}

func testTies(t *testing.T, f similarity.Finder, metric similarity.Metric, items []similarity.Item) {
	tied := items[len(items)-1].Vector
	for k := 1; k <= 4; k++ {
		got, err := f.Nearest(t.Context(), []vector.Vector{tied}, k)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range []string{"tie-a", "tie-b", "tie-c", "tie-d"}[:k] {
			if len(got[0]) != k || got[0][i].ID != id || math.Abs(got[0][i].Distance) > tolerance {
				t.Fatalf("%v, k %d: got %v, want the ties by id at distance 0", metric, k, got[0])
			}
		}
	}
}

func testEmptyBatch(t *testing.T, f similarity.Finder) {
	for _, none := range [][]vector.Vector{nil, {}} {
		if got, err := f.Nearest(t.Context(), none, 3); err != nil || len(got) != 0 {
			t.Fatalf("got %v, %v; want no answers and no error", got, err)
		}
	}
}

func testBadK(t *testing.T, f similarity.Finder, items []similarity.Item) {
	for _, k := range []int{0, -1} {
		if got, err := f.Nearest(t.Context(), []vector.Vector{items[0].Vector}, k); err == nil {
			t.Errorf("k %d: got %v, want an error", k, got)
		}
	}
}

func testBadQueries(t *testing.T, f similarity.Finder, metric similarity.Metric, items []similarity.Item) {
	with := func(i int, x float32) vector.Vector {
		v := vector.Vector{Space: space, Values: slices.Clone(items[0].Vector.Values)}
		v.Values[i] = x
		return v
	}
	bad := map[string]vector.Vector{
		"NaN":               with(3, float32(math.NaN())),
		"infinite":          with(dim-1, float32(math.Inf(1))),
		"too short":         {Space: space, Values: make([]float32, dim-1)},
		"too long":          {Space: space, Values: make([]float32, dim+1)},
		"no values":         {Space: space},
		"no space":          {Values: items[0].Vector.Values},
		"another space":     {Space: "conformance2", Values: items[0].Vector.Values},
		"space's injection": {Space: "' OR ''='", Values: items[0].Vector.Values},
	}
	if metric == similarity.Cosine {
		bad["zeros"] = vector.Vector{Space: space, Values: make([]float32, dim)}
	}
	for name, q := range bad {
		t.Run(name, func(t *testing.T) {
			good := randomQueries(2)
			got, err := f.Nearest(t.Context(), []vector.Vector{good[0], q, good[1]}, 3)
			batch, ok := errors.AsType[*stage.BatchError](err)
			if !ok || len(batch.Errs) != 3 || len(got) != 3 {
				t.Fatalf("got %d answers and error %v, want 3 and a *stage.BatchError of 3", len(got), err)
			}
			if batch.Errs[0] != nil || batch.Errs[2] != nil {
				t.Fatalf("the good queries failed too: %v", err)
			}
			if !stage.IsPermanent(batch.Errs[1]) {
				t.Fatalf("the bad query's error is %v, want a permanent one", batch.Errs[1])
			}
			same(t, "first", got[0], want(t, metric, items, good[0], 3))
			same(t, "last", got[2], want(t, metric, items, good[1], 3))

			if _, err := f.Nearest(t.Context(), []vector.Vector{q}, 3); err == nil {
				t.Fatal("alone, the bad query did not fail")
			}
		})
	}
	_, err := f.Nearest(t.Context(), []vector.Vector{bad["another space"]}, 3)
	if err == nil || !strings.Contains(err.Error(), `"conformance2"`) || !strings.Contains(err.Error(), `"conformance"`) {
		t.Errorf("error %v does not name both spaces", err)
	}
}

func testCancelled(t *testing.T, f similarity.Finder, items []similarity.Item) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := f.Nearest(ctx, []vector.Vector{items[0].Vector}, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, %v; want context.Canceled", got, err)
	}
}

// testTransform holds the Finder to what a stage asks of its transform.
func testTransform(t *testing.T, f similarity.Finder) {
	queries := randomQueries(24)
	stagetest.TestTransform(t, func(testing.TB) stagetest.TransformFixture[vector.Vector, []similarity.Hit] {
		in := func(i int) vector.Vector {
			q := queries[i]
			q.Values = slices.Clone(q.Values)
			return q
		}
		return stagetest.TransformFixture[vector.Vector, []similarity.Hit]{
			Transform: similarity.Nearest(f, 5),
			In:        in,
			Bad: func(i int) vector.Vector {
				q := in(i)
				q.Values[i] = float32(math.NaN())
				return q
			},
			Equal: func(a, b []similarity.Hit) bool {
				return slices.EqualFunc(a, b, func(x, y similarity.Hit) bool {
					return x.ID == y.ID && math.Abs(x.Distance-y.Distance) <= tolerance
				})
			},
			Largest: 100,
		}
	})
}
