package sink

import (
	"errors"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// TestShipment: each answer reaches who asked, in any order, and the memory
// serves again, emptied, but not before all are there, and not where somebody may
// still look at a message.
func TestShipment(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would empty the pool
	wrong := errors.New("wrong")
	for _, c := range []struct {
		name  string
		reuse bool // no interceptor
		err   error
		again bool
	}{
		{"all is written", true, nil, true},
		{"one has failed", true, wrong, false},
		{"an interceptor", false, nil, false},
	} {
		p := &producer{reuse: c.reuse}
		different := make(map[*parcel]bool)
		for range 100 { // under the race detector a pool drops some
			var got []int
			parcels := p.load(3, func(i int, err error) {
				if i == 1 && !errors.Is(err, c.err) || i != 1 && err != nil {
					t.Errorf("%s: record %d: %v", c.name, i, err)
				}
				got = append(got, i)
			})
			different[&parcels[0]] = true
			for i := range parcels {
				if k := &parcels[i]; k.Message.Topic != "" || k.Message.Key != nil || k.Message.Headers != nil || k.Message.Metadata != k || k.i != i {
					t.Fatalf("%s: record %d is not as new: %+v", c.name, i, k)
				}
				parcels[i].Set(&stage.Raw{Topic: "out", Key: []byte("k"), Headers: []stage.Header{{Key: "h"}}})
			}
			parcels[2].answer(nil)
			parcels[0].answer(nil)
			if other := p.load(1, func(int, error) {}); &other[0] == &parcels[0] {
				t.Fatalf("%s: taken again before the last answer", c.name)
			}
			parcels[1].answer(c.err)
			if !slices.Equal(got, []int{2, 0, 1}) {
				t.Errorf("%s: answers for %v, want 2, 0, 1", c.name, got)
			}
		}
		if again := len(different) < 100; again != c.again {
			t.Errorf("%s: memory served again: %v, want %v", c.name, again, c.again)
		}
	}
}
