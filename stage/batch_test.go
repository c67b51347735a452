package stage_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// batches makes a rig of a transform of whole batches that notes when each
// call was made and what it got.
type batches struct {
	*rig
	mu    sync.Mutex
	begin time.Time
	at    []time.Duration
	sizes []int
}

func newBatches(size int, f func(nth int, in []string) ([]string, error)) *batches {
	b := &batches{rig: newRig(nil), begin: time.Now()}
	b.stage.Workers, b.stage.BatchSize = 1, size
	b.stage.Transform = stage.TransformFunc[string, string](func(_ context.Context, in []string) ([]string, error) {
		b.mu.Lock()
		b.at = append(b.at, time.Since(b.begin))
		b.sizes = append(b.sizes, len(in))
		n := len(b.at)
		b.mu.Unlock()
		return f(n, in)
	})
	return b
}

func takeAll(_ int, in []string) ([]string, error) { return in, nil }

func TestBatchTakesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBatches(4, func(_ int, in []string) ([]string, error) {
			time.Sleep(time.Second)
			return in, nil
		})
		r.push("first")
		go func() {
			time.Sleep(time.Millisecond)
			for range 9 {
				r.push("later")
			}
			r.src.End()
		}()
		if err := stage.Run(t.Context(), &r.stage); err != nil {
			t.Fatal(err)
		}
		if want := []int{1, 4, 4, 1}; !slices.Equal(r.sizes, want) {
			t.Errorf("batches of %v, want %v", r.sizes, want)
		}
	})
}

// TestBatchWaitLingers: a record alone goes after BatchWait, a full batch at
// once, whether of many keys or of one.
func TestBatchWaitLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBatches(3, takeAll)
		r.stage.Workers, r.stage.BatchWait = 2, 50*time.Millisecond
		stop := r.start(t)
		r.push("alone")
		time.Sleep(time.Second)
		r.push("x", "y", "z")
		time.Sleep(time.Second)
		for _, v := range []string{"k:1", "k:2", "k:3"} {
			r.push(v)
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{50 * time.Millisecond, time.Second, 2020 * time.Millisecond}
		if !slices.Equal(r.at, want) {
			t.Errorf("transforms at %v, want %v", r.at, want)
		}
	})
}

// TestStopEndsALinger: nothing has begun, so that there is nothing to finish.
func TestStopEndsALinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBatches(3, takeAll)
		r.stage.BatchWait, r.stage.DrainTimeout = time.Hour, time.Minute
		stop := r.start(t)
		r.push("a:1")
		time.Sleep(time.Second)
		if len(r.at) != 0 {
			t.Fatal("the worker did not linger")
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(r.begin); d != time.Second || len(r.at) != 0 {
			t.Errorf("stopped after %v, transforms at %v; want 1s and none", d, r.at)
		}
	})
}

// TestEndOfTheSourceEndsALinger: nothing more comes to fill the batch.
func TestEndOfTheSourceEndsALinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBatches(3, takeAll)
		r.stage.BatchWait = time.Hour
		r.push("a:1")
		time.AfterFunc(time.Minute, r.src.End)
		if err := stage.Run(t.Context(), &r.stage); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(r.begin); d != time.Minute || len(r.sink.Values()) != 1 {
			t.Errorf("%d written after %v, want one after 1m", len(r.sink.Values()), d)
		}
	})
}

// TestEveryWorkerGetsABatch: what one worker leaves, the next one takes.
func TestEveryWorkerGetsABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBatches(2, func(_ int, in []string) ([]string, error) {
			time.Sleep(time.Second)
			return in, nil
		})
		r.stage.Workers = 4
		r.push("a:1", "b:1", "c:1", "d:1", "e:1", "f:1", "g:1", "h:1")
		r.runToEnd(t)
		if want := []int{2, 2, 2, 2}; !slices.Equal(r.sizes, want) || time.Since(r.begin) != time.Second {
			t.Errorf("batches of %v in %v, want %v at once", r.sizes, time.Since(r.begin), want)
		}
	})
}

// TestFailedBatchIsHalved until the record that fails it is alone, which costs
// a record in a batch of n about log2(n) calls and no attempt.
func TestFailedBatchIsHalved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBatches(8, func(_ int, in []string) ([]string, error) {
			if slices.Contains(in, "g:poison") {
				return nil, errors.New("one of these")
			}
			return in, nil
		})
		r.withDeadLetters()
		r.stage.Retry.Attempts = 1
		r.push("a:1", "b:1", "c:1", "d:1", "e:1", "f:1", "g:poison", "h:1")
		r.runToEnd(t)
		if want := []int{8, 4, 4, 2, 2, 1, 1}; !slices.Equal(r.sizes, want) {
			t.Errorf("batches of %v, want %v", r.sizes, want)
		}
		if n, dead := len(r.sink.Values()), r.dead.Values(); n != 7 || len(dead) != 1 || dead[0].Record.Offset != 6 || dead[0].Attempts != 1 {
			t.Errorf("%d written, dead letters %+v", n, dead)
		}
		if r.at[len(r.at)-1] != 0 {
			t.Errorf("transforms at %v, want no pause", r.at)
		}
	})
}

// TestHalvedBatchStaysSmall: records that came later do not make it large
// again, whether they are ready before it, or of a key that is in it.
func TestHalvedBatchStaysSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var suspects [][]string
		var r *batches
		r = newBatches(4, func(nth int, in []string) ([]string, error) {
			if nth == 1 {
				r.push("e:1", "a:2", "a:3", "a:4")
				time.Sleep(time.Second) // they are admitted meanwhile
				return nil, errors.New("one of these")
			}
			if slices.Contains(in, "a:1") || slices.Contains(in, "c:1") {
				suspects = append(suspects, slices.Clone(in))
			}
			return in, nil
		})
		r.push("a:1", "b:1", "c:1", "d:1")
		stop := r.start(t)
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(r.sink.Values()); n != 8 || len(suspects) == 0 {
			t.Fatalf("%d written; batches %q", n, suspects)
		}
		for _, in := range suspects {
			if len(in) > 2 {
				t.Errorf("batches %q of what failed as a batch of 4", suspects)
			}
		}
	})
}

// TestSkipOfABatchDropsNothing: ErrSkip for a whole batch does not say which
// record it means.
func TestSkipOfABatchDropsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBatches(8, func(_ int, in []string) ([]string, error) {
			if slices.Contains(in, "b:1") {
				return nil, stage.ErrSkip
			}
			return in, nil
		})
		r.push("a:1", "b:1", "c:1")
		r.runToEnd(t)
		got := r.sink.Values()
		slices.Sort(got)
		if want := []string{"a:1", "c:1"}; !slices.Equal(got, want) || r.sizes[0] != 3 {
			t.Errorf("written %q of batches of %v, want %q", got, r.sizes, want)
		}
		if c := r.src.Committed(0); c != 3 {
			t.Errorf("committed %d, want 3", c)
		}
	})
}

// TestRetryAfterOfABatch holds for every record of it.
func TestRetryAfterOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBatches(8, func(nth int, in []string) ([]string, error) {
			if nth == 1 {
				return nil, stage.RetryAfter(errors.New("too many requests"), time.Minute)
			}
			return in, nil
		})
		r.push("a:1", "b:1", "c:1")
		r.runToEnd(t)
		if r.sizes[0] != 3 || len(r.at) < 2 || r.at[1] < time.Minute || len(r.sink.Values()) != 3 {
			t.Errorf("batches of %v at %v; want none but the first before a minute", r.sizes, r.at)
		}
	})
}

// TestBatchWaitCountsFromTheFirstRecord, however many come behind it.
func TestBatchWaitCountsFromTheFirstRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var sizes []int
		var first time.Duration
		r := newRig(nil)
		r.stage.Transform = stage.TransformFunc[string, string](func(_ context.Context, in []string) ([]string, error) {
			if sizes = append(sizes, len(in)); len(sizes) == 1 {
				first = time.Since(start)
			}
			return in, nil
		})
		r.stage.Workers, r.stage.BatchSize, r.stage.BatchWait = 1, 100, time.Second
		stop := r.start(t)
		for range 10 {
			r.push("value")
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if first != time.Second || len(sizes) < 2 || sizes[0] != 4 {
			t.Errorf("batches of %v, the first after %v; want 4 records after 1s", sizes, first)
		}
	})
}
