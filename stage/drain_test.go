package stage_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// TestStopDrains: what workers have begun is finished and committed; the rest
// is left to the next run, however much there is of it.
func TestStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		r := newRig(func(ctx context.Context, s string) (string, error) {
			if s == "b:1" {
				stop()
			}
			time.Sleep(5 * time.Second)
			return s, ctx.Err()
		})
		r.stage.Workers = 2
		r.push("a:1", "b:1", "a:2", "c:1")
		start := time.Now()
		if err := stage.Run(ctx, &r.stage); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("took %v", d)
		}
		if n, c := len(r.sink.Values()), r.src.Committed(0); n != 2 || c != 2 {
			t.Errorf("%d written, %d committed; want 2 and 2", n, c)
		}
		r.runToEnd(t)
		if got, want := slices.Sorted(slices.Values(r.sink.Values()[2:])), []string{"a:2", "c:1"}; !slices.Equal(got, want) {
			t.Errorf("the next run has written %q, want %q", got, want)
		}
	})
}

func TestDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		r := newRig(func(ctx context.Context, s string) (string, error) {
			if s == "b:1" {
				stop()
				<-ctx.Done() // the stage's own context, when DrainTimeout is over
				return "", ctx.Err()
			}
			return s, nil
		}).withDeadLetters()
		r.stage.DrainTimeout = time.Minute
		r.stage.Retry.Attempts = 1 // what the end of the context does is not one
		r.push("a:1", "b:1")
		start := time.Now()
		err := stage.Run(ctx, &r.stage)
		if err == nil || !strings.Contains(err.Error(), "1 records were not finished") {
			t.Fatalf("error %v", err)
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("took %v", d)
		}
		if n := len(r.dead.Values()); n != 0 {
			t.Errorf("%d dead letters of a context's error", n)
		}
		if c := r.src.Committed(0); c != 1 {
			t.Errorf("committed %d, want 1", c)
		}

		// The next run reads just what is missing.
		r.stage.Transform = stage.Map(same)
		r.runToEnd(t)
		got := r.sink.Values()
		if want := []string{"a:1", "b:1"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

func TestCommitIsTheLowWaterMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(func(_ context.Context, s string) (string, error) {
			if s == "b:1" {
				<-release
			}
			return s, nil
		})
		r.push("a:1", "b:1", "c:1", "d:1")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- stage.Run(ctx, &r.stage) }()
		time.Sleep(10 * time.Second)
		if n, c := len(r.sink.Values()), r.src.Committed(0); n != 3 || c != 1 {
			t.Errorf("%d written, %d committed; want 3 and 1", n, c)
		}
		close(release)
		time.Sleep(10 * time.Second)
		if c := r.src.Committed(0); c != 4 {
			t.Errorf("committed %d, want 4", c)
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestRevokeFinishesWhatHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int64
		r := newRig(func(_ context.Context, s string) (string, error) {
			begun.Add(1)
			time.Sleep(time.Second)
			return s, nil
		})
		r.stage.Workers = 2
		r.push("a:1", "b:1", "a:2", "b:2")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- stage.Run(ctx, &r.stage) }()
		time.Sleep(500 * time.Millisecond)
		r.src.Revoke(0)
		if c := r.src.Committed(0); c != 2 || begun.Load() != 2 {
			t.Errorf("committed %d after %d were begun; want 2 and 2", c, begun.Load())
		}
		r.src.Assign(0)
		time.Sleep(10 * time.Second)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		got := r.sink.Values()
		slices.Sort(got)
		if want := []string{"a:1", "a:2", "b:1", "b:2"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q", got, want)
		}
		if c := r.src.Committed(0); c != 4 {
			t.Errorf("committed %d, want 4", c)
		}
	})
}

// TestLostLaneLeavesNoMark: what a tenure finishes after it was lost must not
// move the next tenure's mark, and must not be written.
func TestLostLaneLeavesNoMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := newRig(func(_ context.Context, s string) (string, error) {
			if calls.Add(1) == 1 {
				time.Sleep(time.Hour) // much longer than DrainTimeout
				return "late", nil
			}
			<-t.Context().Done()
			return s, nil
		})
		r.stage.DrainTimeout = time.Minute
		r.push("a:1")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- stage.Run(ctx, &r.stage) }()
		time.Sleep(time.Second)
		r.src.Revoke(0)
		r.src.Assign(0)
		time.Sleep(2 * time.Hour)
		if calls.Load() != 2 {
			t.Fatalf("%d calls: the next tenure did not read the record", calls.Load())
		}
		if n, c := len(r.sink.Values()), r.src.Committed(0); n != 0 || c != 0 {
			t.Errorf("%d written, %d committed by a tenure that is over", n, c)
		}
		stop()
		if err := <-done; err == nil {
			t.Error("the second transform never ended, and Run says all is well")
		}
	})
}

// TestRevokeDropsWhatWaitsOutABackoff, of a key and without one, and does not
// wait for it either.
func TestRevokeDropsWhatWaitsOutABackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		var well atomic.Bool
		r := newRig(func(_ context.Context, s string) (string, error) {
			if calls.Add(1); !well.Load() {
				return "", stage.RetryAfter(errors.New("busy"), time.Hour)
			}
			return s, nil
		})
		r.stage.MaxInFlight, r.stage.DrainTimeout = 2, time.Minute
		r.push("a:1", "without", "c:1", "d:1") // the last two wait for room
		stop := r.start(t)
		time.Sleep(time.Second)
		start := time.Now()
		r.src.Revoke(0)
		if d := time.Since(start); d != 0 || calls.Load() != 2 {
			t.Errorf("the revoke took %v after %d calls; want none, after 2", d, calls.Load())
		}
		well.Store(true)
		r.src.Assign(0)
		time.Sleep(10 * time.Second)
		if n, c := len(r.sink.Values()), r.src.Committed(0); n != 4 || c != 4 || calls.Load() != 6 {
			t.Errorf("%d written, %d committed, %d calls; want 4, 4 and 6", n, c, calls.Load())
		}
		time.Sleep(2 * time.Hour) // beyond what was left of the pauses
		if calls.Load() != 6 {
			t.Errorf("%d calls: the old tenure went on", calls.Load())
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestTransformThatIgnoresTheEndWritesNothing: it returns when Run has long
// closed everything.
func TestTransformThatIgnoresTheEndWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var returned atomic.Bool
		r := newRig(func(_ context.Context, s string) (string, error) {
			time.Sleep(time.Hour)
			returned.Store(true)
			return s, nil
		})
		r.stage.DrainTimeout = time.Minute
		r.push("a:1")
		stop := r.start(t)
		time.Sleep(time.Second)
		if err := stop(); err == nil || returned.Load() {
			t.Fatalf("error %v; the transform has returned: %v", err, returned.Load())
		}
		time.Sleep(2 * time.Hour)
		if n := len(r.sink.Values()); n != 0 || !returned.Load() {
			t.Errorf("%d written into a sink that is closed; the transform has returned: %v", n, returned.Load())
		}
	})
}

// TestCommitIsTriedAgain: by the next one, or at the end by the same one,
// under a context that the end of the user's does not reach.
func TestCommitIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		r.stage.CommitInterval = time.Second
		spy := r.spyOnReader()
		var ended atomic.Bool
		spy.commit = func(ctx context.Context, n int64) error {
			ended.Store(ended.Load() || ctx.Err() != nil)
			if n%2 == 1 {
				return errors.New("no coordinator")
			}
			return nil
		}
		stop := r.start(t)
		r.push("a:1")
		time.Sleep(10 * time.Second)
		if n, c := spy.commits.Load(), r.src.Committed(0); n != 2 || c != 1 {
			t.Errorf("committed %d in %d commits; want 1 in 2", c, n)
		}
		r.push("a:2")
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n, c := spy.commits.Load(), r.src.Committed(0); n != 4 || c != 2 || ended.Load() {
			t.Errorf("committed %d in %d commits; want 2 in 4; under a context that had ended: %v", c, n, ended.Load())
		}
	})
}

// TestCommitThatHangsIsGivenUp, and the next one does its work.
func TestCommitThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		r.stage.DrainTimeout = 10 * time.Second
		spy := r.spyOnReader()
		spy.commit = func(ctx context.Context, n int64) error {
			if n > 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		r.push("a:1")
		stop := r.start(t)
		time.Sleep(time.Minute)
		if n, c := spy.commits.Load(), r.src.Committed(0); n != 2 || c != 1 {
			t.Errorf("committed %d in %d commits; want 1 in 2", c, n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestCommitThatNeverCanIsNotTriedAgain: the reader says so.
func TestCommitThatNeverCanIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		spy := r.spyOnReader()
		spy.commit = func(context.Context, int64) error { return stage.Permanent(errors.New("fenced")) }
		r.push("a:1")
		start := time.Now()
		r.runToEnd(t)
		if d, n := time.Since(start), spy.commits.Load(); d != 0 || n != 1 {
			t.Errorf("%d commits in %v, want one at once", n, d)
		}
	})
}
