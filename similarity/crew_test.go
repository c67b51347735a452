package similarity

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Whoever helps, each piece is done once before parallel returns: one search
// after the other, at once, and a while later, when the helper has gone.
func TestCrewDoesAll(t *testing.T) {
	for _, c := range []*crew{nil, {}} {
		search := func() {
			const n = 3
			var done [n]atomic.Int32
			c.parallel(n, func(i int) { done[i].Add(1) })
			for i := range done {
				if done[i].Load() != 1 {
					t.Errorf("piece %d was done %d times", i, done[i].Load())
				}
			}
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 2000 {
					search()
				}
			})
		}
		wg.Wait()
	}
}

// A helper that looks out takes the next search, and ends when none comes.
func TestCrewLooksOut(t *testing.T) {
	var c crew
	for c.slot.Load() == nil {
		c.parallel(2, func(int) {})
	}
	for c.slot.Load() != nil { // else this never ends
		waitAMoment()
	}
}

func waitAMoment() { c := make(chan struct{}); go close(c); <-c }
