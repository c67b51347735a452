package similarity_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/similaritytest"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

const space = "test-space"

func random(rng *rand.Rand, n, dim int) []similarity.Item {
	items := make([]similarity.Item, n)
	for i := range items {
		v := make([]float32, dim)
		for j := range v {
			v[j] = float32(rng.NormFloat64())
		}
		items[i] = similarity.Item{ID: fmt.Sprintf("%06d", i), Vector: vector.Vector{Space: space, Values: v}}
	}
	return items
}

func build(t testing.TB, metric similarity.Metric, items []similarity.Item, options ...similarity.Option) *similarity.Index {
	t.Helper()
	x := similarity.NewIndex(metric, options...)
	if err := x.Add(items...); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestIndexIsAFinder(t *testing.T) {
	similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
		return build(t, metric, items)
	})
}

func TestQuantizedIndexIsAFinder(t *testing.T) {
	similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
		return build(t, metric, items, similarity.Quantized())
	})
}

// The suite asks for exact answers, so that an IVF has to search all lists.
func TestIVFIsAFinder(t *testing.T) {
	open := func(t *testing.T, metric similarity.Metric, items []similarity.Item, options ...similarity.Option) *similarity.IVF {
		x, err := similarity.NewIVF(metric, options...)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Add(items...); err != nil {
			t.Fatal(err)
		}
		return x
	}
	t.Run("untrained", func(t *testing.T) {
		similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
			return open(t, metric, items)
		})
	})
	for name, options := range map[string][]similarity.Option{"all lists": nil, "all lists, quantized": {similarity.Quantized()}} {
		t.Run(name, func(t *testing.T) {
			similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
				x := open(t, metric, items, options...)
				if len(items) > 1 {
					if err := x.Train(t.Context(), 12); err != nil {
						t.Fatal(err)
					}
					x.SetProbes(x.Lists())
				}
				var saved bytes.Buffer
				if err := x.Save(&saved); err != nil {
					t.Fatal(err)
				}
				x, err := similarity.LoadIVF(&saved, options...)
				if err != nil {
					t.Fatal(err)
				}
				return x
			})
		})
	}
}

func TestSavedIndexIsAFinder(t *testing.T) {
	similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
		path := filepath.Join(t.TempDir(), "index")
		if err := build(t, metric, items).SaveFile(path); err != nil {
			t.Fatal(err)
		}
		x, err := similarity.LoadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return x
	})
}

func TestFileIsAFinder(t *testing.T) { testFile(t) }

func TestQuantizedFileIsAFinder(t *testing.T) { testFile(t, similarity.Quantized()) }

func testFile(t *testing.T, options ...similarity.Option) {
	similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
		path := filepath.Join(t.TempDir(), "vectors")
		for range 2 { // written, and read
			x, err := similarity.OpenFile(path, metric, options...)
			if err != nil {
				t.Fatal(err)
			}
			if x.Len() > 0 {
				t.Cleanup(func() {
					if err := x.Close(); err != nil {
						t.Error(err)
					}
				})
				return x
			}
			if err := errors.Join(x.Add(items...), x.Close()); err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal("the items are gone")
		return nil
	})
}

func TestRefinedIsAFinder(t *testing.T)          { testRefinedIsAFinder(t) }
func TestRefinedQuantizedIsAFinder(t *testing.T) { testRefinedIsAFinder(t, similarity.Quantized()) }

func testRefinedIsAFinder(t *testing.T, options ...similarity.Option) {
	similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
		var fitter reduce.PCAFitter
		for _, it := range items {
			if err := fitter.Add(it.Vector); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 - min(2, len(items)) + 1 { // two, at least, have a variance
			if err := fitter.Add(vector.Vector{Space: items[0].Vector.Space, Values: make([]float32, len(items[0].Vector.Values))}); err != nil {
				t.Fatal(err)
			}
		}
		pca, err := fitter.Fit(1 + min(4, len(items)))
		if err != nil {
			t.Fatal(err)
		}
		x, err := similarity.NewRefined(metric, pca, options...)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Add(items...); err != nil {
			t.Fatal(err)
		}
		return x
	})
}

// truth is the definition, written another way than the index: one running sum.
func truth(metric similarity.Metric, items []similarity.Item, q []float32, k int) []similarity.Hit {
	hits := make([]similarity.Hit, len(items))
	for i, it := range items {
		var diff, ab, aa, bb float64
		for j, b := range it.Vector.Values {
			a, b := float64(q[j]), float64(b)
			diff += (a - b) * (a - b)
			ab += a * b
			aa += a * a
			bb += b * b
		}
		d := math.Sqrt(diff)
		if metric == similarity.Cosine {
			d = 1 - ab/math.Sqrt(aa*bb)
		}
		hits[i] = similarity.Hit{ID: it.ID, Distance: d}
	}
	slices.SortFunc(hits, func(a, b similarity.Hit) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.ID, b.ID))
	})
	return hits[:min(k, len(hits))]
}

func TestEqualsBruteForce(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, metric := range []similarity.Metric{similarity.Euclidean, similarity.Cosine} {
		for _, dim := range []int{1, 2, 3, 7, 10, 33, 64, 150, 384} {
			items := random(rng, 3000, dim)
			for i := 0; i < len(items); i += 10 { // exact ties
				copy(items[i].Vector.Values, items[(i*7+1)%len(items)].Vector.Values)
			}
			x := build(t, metric, items)
			queries := []vector.Vector{items[10].Vector, items[999].Vector}
			for _, it := range random(rng, 9, dim) {
				queries = append(queries, it.Vector)
			}
			for _, k := range []int{1, 5, 100} {
				got, err := x.Nearest(t.Context(), queries, k)
				if err != nil {
					t.Fatal(err)
				}
				for i, q := range queries {
					want := truth(metric, items, q.Values, k)
					sameHits(t, fmt.Sprintf("%v, dim %d, k %d, query %d", metric, dim, k, i), got[i], want)
				}
			}
		}
	}
}

// sameHits wants the same ids, but for neighbours whose true distances differ
// by no more than float64's rounding.
func sameHits(t *testing.T, name string, got, want []similarity.Hit) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d hits, want %d", name, len(got), len(want))
	}
	for i := range got {
		if math.Abs(got[i].Distance-want[i].Distance) > 1e-12*(1+want[i].Distance) {
			t.Fatalf("%s: hit %d is %v, want %v", name, i, got[i], want[i])
		}
		if i > 0 && cmp.Or(cmp.Compare(got[i-1].Distance, got[i].Distance), cmp.Compare(got[i-1].ID, got[i].ID)) >= 0 {
			t.Fatalf("%s: hit %d, %v, comes after %v", name, i, got[i], got[i-1])
		}
		near := func(j int) bool {
			return j >= 0 && j < len(want) && math.Abs(want[j].Distance-want[i].Distance) < 1e-12*(1+want[i].Distance) && want[j].Distance != want[i].Distance
		}
		if got[i].ID != want[i].ID && !near(i-1) && !near(i+1) {
			t.Fatalf("%s: hit %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

// Large offsets cancel in |q|^2+|x|^2-2qx; the direct sum must not care.
func TestNoCancellation(t *testing.T) {
	var items []similarity.Item
	for i := range 200 {
		items = append(items, similarity.Item{ID: fmt.Sprintf("%03d", i), Vector: vector.Vector{Space: space, Values: []float32{1e6 + float32(i)/16, 1e6}}})
	}
	x := build(t, similarity.Euclidean, items)
	hits, err := x.Nearest(t.Context(), []vector.Vector{items[100].Vector}, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := []similarity.Hit{{ID: "100", Distance: 0}, {ID: "099", Distance: 1.0 / 16}, {ID: "101", Distance: 1.0 / 16}}
	if !slices.Equal(hits[0], want) {
		t.Fatalf("got %v, want %v", hits[0], want)
	}
}

func TestAddReplacesById(t *testing.T) {
	for _, metric := range []similarity.Metric{similarity.Euclidean, similarity.Cosine} {
		v := func(a, b float32) vector.Vector { return vector.Vector{Space: space, Values: []float32{a, b}} }
		x := build(t, metric, []similarity.Item{{"a", v(1, 0)}, {"b", v(0, 1)}, {"a", v(-3, 0)}})
		if err := x.Add(similarity.Item{ID: "b", Vector: v(0, 5)}); err != nil {
			t.Fatal(err)
		}
		if x.Len() != 2 {
			t.Fatalf("%v: %d items, want 2", metric, x.Len())
		}
		hits, err := x.Nearest(t.Context(), []vector.Vector{v(-3, 0), v(0, 5)}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if hits[0][0] != (similarity.Hit{ID: "a"}) || hits[1][0] != (similarity.Hit{ID: "b"}) {
			t.Fatalf("%v: got %v, want a and b at distance 0", metric, hits)
		}
	}
}

func TestAddTakesAllOrNothing(t *testing.T) {
	good := vector.Vector{Space: space, Values: []float32{1, 2}}
	for _, c := range []struct {
		name   string
		metric similarity.Metric
		bad    similarity.Item
		want   string
	}{
		{"no id", similarity.Euclidean, similarity.Item{Vector: good}, "no id"},
		{"id not UTF-8", similarity.Euclidean, similarity.Item{ID: "\xff", Vector: good}, "UTF-8"},
		{"NaN", similarity.Euclidean, similarity.Item{ID: "x", Vector: vector.Vector{Space: space, Values: []float32{1, float32(math.NaN())}}}, `item 1: id "x": vector: value 1 is NaN`},
		{"space", similarity.Euclidean, similarity.Item{ID: "x", Vector: vector.Vector{Space: "other", Values: []float32{1, 2}}}, `"other"`},
		{"dimension", similarity.Euclidean, similarity.Item{ID: "x", Vector: vector.Vector{Space: space, Values: []float32{1}}}, "1 values where 2"},
		{"zeros by cosine", similarity.Cosine, similarity.Item{ID: "x", Vector: vector.Vector{Space: space, Values: []float32{0, 0}}}, "all values are 0"},
		{"metric", similarity.Metric(9), similarity.Item{ID: "x", Vector: good}, "Metric(9)"},
	} {
		x := similarity.NewIndex(c.metric)
		err := x.Add(similarity.Item{ID: "ok", Vector: good}, c.bad)
		if err == nil || !strings.Contains(err.Error(), c.want) || x.Len() != 0 {
			t.Errorf("%s: error %v and %d items, want an error with %q and none", c.name, err, x.Len(), c.want)
		}
	}
}

func TestZeroAndEmptyIndex(t *testing.T) {
	var x similarity.Index
	q := []vector.Vector{{Space: "any", Values: []float32{1}}}
	hits, err := x.Nearest(t.Context(), q, 3)
	if err != nil || len(hits) != 1 || len(hits[0]) != 0 {
		t.Fatalf("empty index: %v, %v", hits, err)
	}
	if err := x.Add(similarity.Item{ID: "a", Vector: q[0]}); err != nil {
		t.Fatal(err)
	}
	if x.Metric() != similarity.Euclidean || x.Space() != "any" || x.Dim() != 1 {
		t.Fatalf("got %v, %q, %d", x.Metric(), x.Space(), x.Dim())
	}
}

func TestSearchWhileAdding(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 0))
	items := random(rng, 2000, 16)
	x := build(t, similarity.Euclidean, items[:1])
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, it := range items[1:] {
			if err := x.Add(it); err != nil {
				t.Error(err)
			}
		}
	})
	for range 200 {
		hits, err := x.Nearest(t.Context(), []vector.Vector{items[0].Vector}, 2)
		if err != nil || hits[0][0] != (similarity.Hit{ID: items[0].ID}) {
			t.Errorf("got %v, %v", hits, err)
		}
	}
	wg.Wait()
	if x.Len() != len(items) {
		t.Fatalf("%d items, want %d", x.Len(), len(items))
	}
}

func TestNearestTransform(t *testing.T) {
	x := build(t, similarity.Euclidean, random(rand.New(rand.NewPCG(1, 0)), 5, 2))
	good := vector.Vector{Space: space, Values: []float32{0, 0}}
	bad := vector.Vector{Space: "other", Values: []float32{0, 0}}
	hits, err := similarity.Nearest(x, 2).Transform(t.Context(), []vector.Vector{good, bad, good})
	batch, ok := errors.AsType[*stage.BatchError](err)
	if !ok || batch.Errs[0] != nil || batch.Errs[2] != nil || !stage.IsPermanent(batch.Errs[1]) {
		t.Fatalf("error %v, want a BatchError with a permanent error for record 1 only", err)
	}
	if len(hits[0]) != 2 || len(hits[2]) != 2 || hits[1] != nil {
		t.Fatalf("got %v, want two hits for records 0 and 2", hits)
	}
	if e, ok := errors.AsType[*vector.SpaceError](batch.Errs[1]); !ok || e.Got != "other" || e.Want != space {
		t.Fatalf("error %v does not name both spaces", batch.Errs[1])
	}
}

func TestLoadRefusesDamage(t *testing.T) {
	x := build(t, similarity.Cosine, random(rand.New(rand.NewPCG(1, 0)), 5, 3))
	var b bytes.Buffer
	if err := x.Save(&b); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		if _, err := similarity.Load(bytes.NewReader(bad)); err == nil {
			t.Errorf("byte %d changed, and no error", i)
		}
		if _, err := similarity.Load(bytes.NewReader(good[:i])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at byte %d: error %v", i, err)
		}
	}
	path := filepath.Join(t.TempDir(), "foreign")
	if err := os.WriteFile(path, []byte("PK\x03\x04 something else altogether"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := similarity.LoadFile(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "not a file of this kind") {
		t.Errorf("a foreign file: error %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	for _, m := range []similarity.Metric{similarity.Euclidean, similarity.Cosine} {
		var b bytes.Buffer
		x := similarity.NewIndex(m)
		_ = x.Save(&b)
		f.Add(bytes.Clone(b.Bytes()))
		b.Reset()
		_ = x.Add(similarity.Item{ID: "a", Vector: vector.Vector{Space: "s", Values: []float32{1, 2}}})
		_ = x.Save(&b)
		f.Add(bytes.Clone(b.Bytes()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum is put right, so that the fields behind it get their turn.
		if n := len(b); n > 4 {
			b = reseal(b[:n-4])
		}
		x, err := similarity.Load(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := x.Save(&again); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Fatalf("%q loads, and saves as %q, %v", b, again.Bytes(), err)
		}
	})
}
