package embed

import (
	"math/rand/v2"
	"testing"
)

func TestPlan(t *testing.T) {
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 0))
	var p planner
	for range 200 {
		ids := make([]tokenized, r.IntN(100))
		for i := range ids {
			ids[i].ids = make([]uint32, r.IntN(300))
		}
		budget, runners := 1+r.IntN(2000), 1+r.IntN(4)
		seen := make([]bool, len(ids))
		last := 1 << 30
		for _, b := range p.plan(ids, budget, runners) {
			width := 0
			for _, at := range b {
				n := len(ids[at].ids)
				if n > last || seen[at] {
					t.Fatalf("seed %d: text %d of %d tokens after one of %d, or twice", seed, at, n, last)
				}
				last, seen[at] = n, true
				width = max(width, n)
			}
			if len(b) == 0 || len(b) > 1 && len(b)*width > budget {
				t.Fatalf("seed %d: a batch of %d texts with %d tokens, budget %d", seed, len(b), width, budget)
			}
		}
		for i := range seen {
			if !seen[i] {
				t.Fatalf("seed %d: text %d is in no batch", seed, i)
			}
		}
	}
}

func TestPlanKeepsOrderOfEqualsAndSharesWork(t *testing.T) {
	ids := make([]tokenized, 8)
	for i := range ids {
		ids[i].ids = make([]uint32, 5)
	}
	if b := new(planner).plan(ids, 1000, 1); len(b) != 1 || b[0][0] != 0 || b[0][7] != 7 {
		t.Errorf("one runner: %v", b)
	}
	if b := new(planner).plan(ids, 1000, 2); len(b) != 2 || len(b[0]) != 4 {
		t.Errorf("two runners: %v", b)
	}
}
