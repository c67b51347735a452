package source

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
)

// pausing is a group that only knows which partitions are paused.
type pausing struct {
	sarama.ConsumerGroup
	paused map[int32]bool
}

func (g *pausing) set(of map[string][]int32, to bool) {
	for _, p := range of["in"] {
		g.paused[p] = to
	}
}
func (g *pausing) Pause(of map[string][]int32)  { g.set(of, true) }
func (g *pausing) Resume(of map[string][]int32) { g.set(of, false) }

// TestPausesOfOnePartition: a long queue pauses a partition, and so does a
// stage whose done map is full. Neither lifts the other's pause. Random
// operations on three lanes, beside what a user would expect of each.
func TestPausesOfOnePartition(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	group := &pausing{paused: make(map[int32]bool)}
	r := &groupReader{group: group, lanes: make(map[*claimLane]struct{}), woken: make(chan struct{}, 1)}
	type want struct {
		queued, next int64 // records put in; those of them that came out
		bytes        int   // of those between
		long, held   bool
	}
	lanes, wants := make([]*claimLane, 3), make([]want, 3)
	for p := range lanes {
		lanes[p] = &claimLane{reader: r, topic: "in", partition: int32(p)}
	}
	zeros := make([]byte, 2<<10) // so that either limit comes first
	var longAndHeld, deliveries int
	for range 20_000 {
		p := rng.IntN(len(lanes))
		l, w := lanes[p], &wants[p]
		switch rng.IntN(6) {
		case 0, 1:
			recs := make([]stage.Raw, 1+rng.IntN(400))
			for i := range recs {
				recs[i] = stage.Raw{Offset: w.queued, Value: zeros[:rng.IntN(len(zeros))]}
				w.queued++
				w.bytes += len(recs[i].Value)
			}
			if r.enqueue(l, recs) {
				r.pause(l)
			}
			if w.bytes > queueBytes || w.queued-w.next > queueRecords {
				w.long = true
			}
		case 2:
			l.Pause()
			w.held = true
		case 3:
			l.Resume()
			w.held = false
		default:
			b, err := r.poll()
			if err != nil {
				t.Fatal(err)
			}
			if b.Lane == nil {
				if slices.ContainsFunc(wants, func(w want) bool { return !w.held && w.queued > w.next }) {
					t.Fatal("nothing is delivered, and there is something")
				}
				break
			}
			deliveries++
			got := &wants[slices.Index(lanes, b.Lane.(*claimLane))]
			if got.held {
				t.Fatal("a lane is delivered that the stage has paused")
			}
			for _, rec := range b.Records {
				if rec.Offset != got.next {
					t.Fatalf("offset %d is delivered where %d is due", rec.Offset, got.next)
				}
				got.next++
				got.bytes -= len(rec.Value)
			}
			if got.bytes <= queueBytes/2 && got.queued-got.next <= queueRecords/2 {
				got.long = false
			}
		}
		for p, w := range wants {
			if group.paused[int32(p)] != w.long {
				t.Fatalf("partition %d: fetching is paused: %v, and its queue is long: %v", p, group.paused[int32(p)], w.long)
			}
			if w.long && w.held {
				longAndHeld++
			}
		}
	}
	if longAndHeld == 0 || deliveries == 0 {
		t.Errorf("%d times both pauses at once, %d deliveries", longAndHeld, deliveries)
	}
}

// TestReadEndsWithItsContext, whatever is paused.
func TestReadEndsWithItsContext(t *testing.T) {
	group := &pausing{paused: make(map[int32]bool)}
	r := &groupReader{group: group, lanes: make(map[*claimLane]struct{}), woken: make(chan struct{}, 1)}
	l := &claimLane{reader: r, topic: "in"}
	r.enqueue(l, make([]stage.Raw, 1))
	l.Pause()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if b, err := r.Read(ctx); b.Lane != nil || err == nil {
		t.Errorf("%v, %v", b, err)
	}
}
