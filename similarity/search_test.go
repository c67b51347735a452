package similarity

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestPromisingPutsTheLowestFirst(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	for range 2000 {
		s := search{waiting: make([]candidate, rng.IntN(60))}
		for i := range s.waiting {
			s.waiting[i] = candidate{low: float64(rng.IntN(20)), row: int32(i)}
		}
		want := slices.Clone(s.waiting)
		slices.SortFunc(want, candidate.compare)
		n := 1 + rng.IntN(70)
		s.promising(n)
		for i, c := range s.waiting[:min(n, len(want))] {
			if c.low != want[i].low {
				t.Fatalf("the %d lowest of %v: got %v", n, want, s.waiting)
			}
		}
		byRow := func(a, b candidate) int { return int(a.row - b.row) }
		slices.SortFunc(want, byRow)
		got := slices.Clone(s.waiting)
		slices.SortFunc(got, byRow)
		if !slices.Equal(got, want) {
			t.Fatalf("other candidates: %v, want %v", got, want)
		}
	}
}
