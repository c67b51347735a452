package stage_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

func TestStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		r := newRig(func(ctx context.Context, s string) (string, error) {
			stop()
			time.Sleep(5 * time.Second)
			return s, ctx.Err()
		})
		r.stage.Workers = 1
		r.push("a:1", "a:2", "b:1")
		if err := stage.Run(ctx, &r.stage); err != nil {
			t.Fatal(err)
		}
		if n, c := len(r.sink.Values()), r.src.Committed(0); n != 3 || c != 3 {
			t.Errorf("%d written, %d committed; want 3 and 3", n, c)
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
