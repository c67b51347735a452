package stage_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

func TestMaxInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		r := newRig(func(_ context.Context, s string) (string, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			now.Add(-1)
			return s, nil
		})
		r.stage.Workers, r.stage.MaxInFlight = 100, 5
		for i := range 50 {
			r.push(fmt.Sprintf("k%d:1", i))
		}
		r.runToEnd(t)
		if most.Load() != 5 {
			t.Errorf("%d at once, want 5", most.Load())
		}
	})
}

// TestMaxInFlightBytes: large records fill the stage before their number does,
// and one that is larger than all the room still gets through.
func TestMaxInFlightBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		r := newRig(func(_ context.Context, s string) (string, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			now.Add(-1)
			return s, nil
		})
		r.stage.Workers, r.stage.MaxInFlightBytes = 100, 10_000
		for i := range 20 {
			r.src.PushRecord(stage.Record[string]{Value: "v", Raw: stage.Raw{Value: make([]byte, 3000), Offset: int64(i)}})
		}
		r.src.PushRecord(stage.Record[string]{Value: "huge", Raw: stage.Raw{Value: make([]byte, 50_000)}})
		r.runToEnd(t)
		if n := len(r.sink.Values()); most.Load() != 3 || n != 21 {
			t.Errorf("%d at once, %d written; want 3 and 21", most.Load(), n)
		}
	})
}

// fullStage is one that has room for one record, and is asked to take three
// of partition 0 while the first is in a transform for d or until the stage
// gives up on it.
func fullStage(d time.Duration) (r *rig, begun *atomic.Int64) {
	begun = new(atomic.Int64)
	r = newRig(func(ctx context.Context, s string) (string, error) {
		if begun.Add(1) == 1 {
			select {
			case <-time.After(d):
			case <-ctx.Done():
			}
		}
		return s, ctx.Err()
	})
	r.stage.MaxInFlight, r.stage.DrainTimeout = 1, time.Minute
	r.push("a:1", "b:1", "c:1")
	return r, begun
}

// TestRevokeWhileTheReaderWaitsForRoom: what was not admitted is not begun,
// though other workers are free, and the reader goes on to other partitions.
func TestRevokeWhileTheReaderWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, begun := fullStage(10 * time.Second)
		spy := r.spyOnReader()
		stop := r.start(t)
		time.Sleep(time.Second)
		if spy.reads.Load() != 1 {
			t.Fatalf("%d reads: the reader does not wait for room", spy.reads.Load())
		}
		go r.src.Revoke(0)
		time.Sleep(time.Second)
		if spy.reads.Load() != 2 {
			t.Errorf("%d reads: the reader still waits for a partition that was taken away", spy.reads.Load())
		}
		time.Sleep(time.Minute)
		if c := r.src.Committed(0); begun.Load() != 1 || c != 1 {
			t.Errorf("%d records begun, %d committed; want 1 and 1", begun.Load(), c)
		}
		r.src.Assign(0)
		time.Sleep(time.Minute)
		if c := r.src.Committed(0); begun.Load() != 3 || c != 3 {
			t.Errorf("the next tenure: %d records begun, %d committed; want 3 and 3", begun.Load(), c)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestStopWhileTheReaderWaitsForRoom: DrainTimeout runs at once, and nothing
// is begun any more.
func TestStopWhileTheReaderWaitsForRoom(t *testing.T) {
	for name, c := range map[string]struct {
		takes, ends time.Duration
		committed   int64
		clean       bool
	}{
		"the transform ends":         {10 * time.Second, 10 * time.Second, 1, true},
		"the transform does not end": {time.Hour, time.Second + time.Minute, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, begun := fullStage(c.takes)
				start := time.Now()
				stop := r.start(t)
				time.Sleep(time.Second)
				err := stop()
				if d := time.Since(start); d != c.ends || (err == nil) != c.clean {
					t.Errorf("ended after %v with error %v, want %v", d, err, c.ends)
				}
				if n := r.src.Committed(0); begun.Load() != 1 || n != c.committed {
					t.Errorf("%d records begun, %d committed; want 1 and %d", begun.Load(), n, c.committed)
				}
			})
		})
	}
}

// TestRevokeMakesRoomBehindATransformThatHangs: what waits behind it in its
// order is not begun any more, and takes no room from other partitions.
func TestRevokeMakesRoomBehindATransformThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(func(_ context.Context, s string) (string, error) {
			if s == "hangs" {
				<-release
			}
			return s, nil
		})
		r.stage.Order, r.stage.MaxInFlight, r.stage.DrainTimeout = stage.ByPartition, 10, time.Minute
		r.push("hangs")
		for range 20 {
			r.push("behind")
		}
		r.src.Push(1, nil, "other")
		stop := r.start(t)
		time.Sleep(time.Second)
		if n := len(r.sink.Values()); n != 0 {
			t.Fatalf("%d records written: the stage is not full", n)
		}
		go r.src.Revoke(0)
		time.Sleep(time.Second)
		if got := r.sink.Values(); len(got) != 1 || got[0] != "other" {
			t.Errorf("written %q; want the other partition's record", got)
		}
		close(release)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
