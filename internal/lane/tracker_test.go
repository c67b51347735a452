package lane

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// shadow is the same promise kept the slow way.
type shadow struct {
	offsets []int64
	done    []bool
}

func (s *shadow) lowWater() (mark int64, ok bool) {
	if !slices.Contains(s.done, true) {
		return 0, false
	}
	mark = s.offsets[0]
	for i, d := range s.done {
		if !d {
			break
		}
		mark = s.offsets[i] + 1
	}
	return mark, true
}

// exercise runs one operation a byte against the tracker and its shadow.
func exercise(t *testing.T, ops []byte) {
	var tr Tracker
	var sh shadow
	offset := int64(0)
	for i, op := range ops {
		if op < 110 || len(sh.done) == 0 {
			offset += 1 + int64(op%4) // gaps, as compaction leaves them
			if seq := tr.Track(offset); seq != uint64(len(sh.done)) {
				t.Fatalf("op %d: record %d is numbered %d", i, len(sh.done), seq)
			}
			sh.offsets = append(sh.offsets, offset)
			sh.done = append(sh.done, false)
		} else {
			n := int(op) * 7919 % len(sh.done) // also ones that are done
			if op%3 == 0 {
				for n > 0 && !sh.done[n-1] {
					n-- // near the mark, so that it moves
				}
			}
			tr.Done(uint64(n))
			sh.done[n] = true
		}
		mark, ok := tr.LowWater()
		wantMark, wantOK := sh.lowWater()
		if mark != wantMark || ok != wantOK {
			t.Fatalf("op %d: low-water mark %d, %v; want %d, %v", i, mark, ok, wantMark, wantOK)
		}
	}
	tr.Done(uint64(len(sh.done))) // never tracked
	if tr.Pending() > len(sh.done) {
		t.Fatalf("pending %d of %d", tr.Pending(), len(sh.done))
	}
}

func TestTrackerAgainstShadow(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		ops := make([]byte, 400)
		for i := range ops {
			ops[i] = byte(rng.Uint32())
		}
		exercise(t, ops)
	}
}

func FuzzTracker(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 201, 202})
	f.Add([]byte("track and done and track again"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 2000 {
			return
		}
		exercise(t, ops)
	})
}

func BenchmarkTracker(b *testing.B) {
	var tr Tracker
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		tr.Done(tr.Track(i))
	}
}
