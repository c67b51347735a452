package sink

import (
	"errors"
	"runtime/debug"
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// TestShipment: each answer reaches who asked, in any order, and the memory
// serves again only when all are there, emptied.
func TestShipment(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would empty the pool
	wrong := errors.New("wrong")
	for _, reuse := range []bool{true, false} {
		p := &producer{reuse: reuse}
		var got []int
		ask := func(i int, err error) {
			if (err != nil) != (i == 1) {
				t.Errorf("record %d: %v", i, err)
			}
			got = append(got, i)
		}
		parcels := p.load(3, ask)
		for i := range parcels {
			parcels[i].Set(&stage.Raw{Topic: "out", Key: []byte("k"), Headers: []stage.Header{{Key: "h"}}})
		}
		parcels[2].answer(nil)
		parcels[0].answer(nil)
		if other := p.load(1, ask); &other[0] == &parcels[0] {
			t.Fatal("taken again before the last answer")
		}
		parcels[1].answer(wrong)
		if len(got) != 3 || got[0] != 2 || got[1] != 0 || got[2] != 1 {
			t.Errorf("answers for %v, want 2, 0, 1", got)
		}
		again := false
		for range 100 { // under the race detector a pool drops some
			next := p.load(2, ask)
			again = again || &next[0] == &parcels[0]
			for i := range next {
				if k := &next[i]; k.Message.Topic != "" || k.Message.Key != nil || k.Message.Headers != nil || k.Message.Metadata != k || k.i != i {
					t.Fatalf("record %d is not as new: %+v", i, k)
				}
			}
			next[0].answer(nil)
			next[1].answer(wrong)
		}
		if !reuse && again {
			t.Error("an interceptor may still look at a message that is used again")
		}
	}
}
