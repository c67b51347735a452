package stage

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestQueue does the same to a queue and to a slice.
func TestQueue(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var q queue
	var want, out []*task
	for range 10_000 {
		switch {
		case rng.IntN(2) == 0:
			k := new(task)
			q.push(k)
			want = append(want, k)
		case rng.IntN(4) == 0: // what was taken out last comes back
			q.putBack(out)
			want, out = slices.Concat(out, want), nil
		case q.n > 0:
			k := q.pop()
			if k != want[0] || k.next != nil {
				t.Fatal("another task came out, or it is still linked")
			}
			want, out = want[1:], append(out, k)
		}
		if q.n != len(want) || !slices.Equal(slices.Collect(q.all()), want) {
			t.Fatalf("%d tasks, want %d, or others, or in another order", q.n, len(want))
		}
	}
}

// TestRing does the same to a ring and to a slice, and looks for what the ring
// keeps in memory.
func TestRing(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var r ring[*int]
	var want []*int
	for i := range 10_000 {
		switch op := rng.IntN(40); {
		case op < 24:
			r.push(&i)
			want = append(want, &i)
		case op < 38 && r.n > 0:
			if r.pop() != want[0] {
				t.Fatal("another one came out")
			}
			want = want[1:]
		case op == 38:
			odd := func(v *int) bool { return *v%2 == 1 }
			r.filter(odd)
			want = slices.DeleteFunc(slices.Clone(want), func(v *int) bool { return !odd(v) })
		case op == 39:
			n := rng.IntN(len(want) + 1)
			r.cut(n)
			want = want[:n:n]
		}
		kept := slices.DeleteFunc(slices.Clone(r.items), func(v *int) bool { return v == nil })
		if r.n != len(want) || len(kept) != len(want) {
			t.Fatalf("%d in the ring, %d in its memory, want %d", r.n, len(kept), len(want))
		}
		for j, v := range want {
			if *r.at(j) != v {
				t.Fatalf("number %d is another one", j)
			}
		}
	}
}
