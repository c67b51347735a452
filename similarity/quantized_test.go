package similarity

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/millrace-go/millrace/similarity/vector"
)

// TestQuantizedMeasuresFew holds what the codes are for: that few rows are left
// to measure, for one query and for several.
func TestQuantizedMeasuresFew(t *testing.T) {
	const rows, k = 10_000, 10
	items := inClusters(rand.New(rand.NewPCG(5, 0)), rows+20, 50, 128)
	asked, items := vectorsOf(items[:20]), items[20:]
	for _, metric := range metrics {
		x := NewIndex(metric, Quantized())
		if err := x.Add(items...); err != nil {
			t.Fatal(err)
		}
		for _, batch := range []int{1, len(asked)} {
			for some := range slices.Chunk(asked, batch) {
				now := x.table.snapshot()
				s := scan{goal: nearestGoal(k), snapshot: now, bound: x.layout.bound(now.dim)}
				s.prepare(some, x.layout.queries(len(some)))
				answers, err := s.run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for i, a := range answers {
					if len(a.hits) != k || a.refined > rows/50 {
						t.Errorf("%v, query %d of %d: %d hits, %d rows measured", metric, i, batch, len(a.hits), a.refined)
					}
				}
			}
		}
	}
}

// TestQuantizedFileKeepsNoValues wants the values of a file's items in the file
// alone, and the answers of a plain index, while the file's items are replaced,
// deleted, and copied out of it.
func TestQuantizedFileKeepsNoValues(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const n, dim = 1000, 30
	path := filepath.Join(t.TempDir(), "vectors")
	open := func() *File {
		x, err := OpenFile(path, Cosine, Quantized())
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	items := vectors(rng, 0, n, dim)
	x := open()
	if err := errors.Join(x.Add(items...), x.Close()); err != nil {
		t.Fatal(err)
	}
	x = open()
	defer func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, v := range x.index.table.snapshot().views {
		if !v.fixed || len(v.full) > 0 || len(v.codes) < n*dim {
			t.Fatalf("fixed %v, %d values in memory, %d codes", v.fixed, len(v.full), len(v.codes))
		}
	}
	plain := NewIndex(Cosine)
	if err := plain.Add(items...); err != nil {
		t.Fatal(err)
	}
	for round := range 6 {
		var gone []string
		for range 150 {
			gone = append(gone, fmt.Sprintf("%06d", rng.IntN(n)))
		}
		for _, c := range []Collection{x, plain} {
			if err := errors.Join(c.Delete(gone...), c.Add(items[round*20:][:40]...)); err != nil {
				t.Fatal(err)
			}
		}
		queries := append(vectorsOf(vectors(rng, 0, 7, dim)), items[0].Vector)
		for _, queries := range [][]vector.Vector{queries, queries[7:]} {
			want, err := plain.Nearest(t.Context(), queries, 20)
			if err != nil {
				t.Fatal(err)
			}
			got, err := x.Nearest(t.Context(), queries, 20)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if !slices.Equal(got[i], want[i]) {
					t.Fatalf("round %d, query %d of %d: got %v, want %v", round, i, len(queries), got[i], want[i])
				}
			}
		}
	}
	if slices.ContainsFunc(x.index.table.snapshot().views, func(v view) bool { return v.fixed }) {
		t.Error("the file's segment was never copied: this tests less than it says")
	}
}
