package stage

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestKeyed does the same to it and to a map.
func TestKeyed(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var m keyed
	want := make(map[uint64]*strand)
	most := 0
	for step := range 20_000 {
		id := rng.Uint64N(500) << (8 * rng.UintN(2)) // many in few chains
		s := m.find(id)
		if s != want[id] {
			t.Fatalf("step %d: another strand of %d is found", step, id)
		}
		if s == nil && rng.IntN(10_000) > step/4 { // more and more of them, then less
			s = &strand{id: id}
			m.add(s)
			want[id] = s
		} else if s != nil && rng.IntN(2) == 0 {
			m.remove(s)
			delete(want, id)
			if s.chained != nil {
				t.Fatal("a strand that was taken out is still linked")
			}
		}
		most = max(most, m.n)
	}
	all := make(map[uint64]*strand)
	for s := range m.all() {
		all[s.id] = s
	}
	if m.n != len(want) || !maps.Equal(all, want) {
		t.Errorf("%d strands, %d of them different, want %d", m.n, len(all), len(want))
	}
	if most < 200 {
		t.Errorf("at most %d at once: it never grew", most)
	}
	for s := range m.all() { // each may be taken out meanwhile
		m.remove(s)
	}
	if m.n != 0 || slices.ContainsFunc(m.chains, func(s *strand) bool { return s != nil }) {
		t.Errorf("%d strands are left", m.n)
	}
}
