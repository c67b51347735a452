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

// A key may be held up twice: a later record of it waits out the backoff of
// its transform while an earlier one's outputs are to be written again.

// TestFailureWhileADeadLetterIsEncoded: what a worker has in hand, to write it
// again, is not dropped from under it.
func TestFailureWhileADeadLetterIsEncoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(_ context.Context, s string) (string, error) {
			switch s {
			case "a:2":
				return "", stage.RetryAfter(errors.New("busy"), time.Hour)
			case "b:poison":
				time.Sleep(5 * time.Second)
				return "", stage.Permanent(errors.New("bad record"))
			}
			return s, nil
		}).withDeadLetters()
		encode := r.stage.DeadLetters.Encode
		var encoded atomic.Bool
		r.stage.DeadLetters.Encode = func(d stage.DeadLetter, in *stage.Raw, emit func(int, stage.Raw)) error {
			if d.Record.Offset == 2 {
				return errors.New("no room for it")
			}
			time.Sleep(10 * time.Second)
			encoded.Store(true)
			return encode(d, in, emit)
		}
		r.sink.Latency = time.Second
		r.sink.Refuse = func(stage.Record[string], int) error { return stage.Permanent(errors.New("too large")) }
		r.push("a:1", "a:2", "b:poison")
		start := time.Now()
		err := stage.Run(t.Context(), &r.stage)
		if bad, ok := errors.AsType[*stage.RecordError](err); !ok || bad.Offset != 2 || strings.Contains(err.Error(), "not finished") {
			t.Errorf("error %v", err)
		}
		if d := time.Since(start); d != 11*time.Second || !encoded.Load() {
			t.Errorf("stopped after %v, encoded: %v; want 11s, and the dead letter", d, encoded.Load())
		}
		if n, c := len(r.dead.Values()), r.src.Committed(0); n != 1 || c != 1 {
			t.Errorf("%d dead letters, %d committed; want what had begun to be finished", n, c)
		}
	})
}

// TestFailureDropsARewriteWhoseKeyWasHeldUpTwice: the shorter of two pauses is
// over.
func TestFailureDropsARewriteWhoseKeyWasHeldUpTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := newRig(func(_ context.Context, s string) (string, error) {
			switch s {
			case "a:2":
				if calls.Add(1) == 1 {
					return "", stage.RetryAfter(errors.New("busy"), time.Second)
				}
			case "b:poison":
				time.Sleep(5 * time.Second)
				return "", stage.Permanent(errors.New("bad record"))
			}
			return s, nil
		})
		r.stage.Retry = stage.Retry{Attempts: stage.Forever, Backoff: time.Millisecond, MaxBackoff: time.Hour, Jitter: stage.NoJitter}
		f := refuse(&r.sink, nil)
		r.sink.Refuse = func(rec stage.Record[string], _ int) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.asked[rec.Value] = append(f.asked[rec.Value], time.Since(f.start))
			return stage.RetryAfter(errAway, 20*time.Second)
		}
		r.push("a:1", "a:2", "b:poison")
		err := stage.Run(t.Context(), &r.stage)
		if bad, ok := errors.AsType[*stage.RecordError](err); !ok || bad.Offset != 2 || strings.Contains(err.Error(), "not finished") {
			t.Errorf("error %v", err)
		}
		if d, at := time.Since(f.start), f.times("a:1"); d != 5*time.Second || len(at) != 1 || calls.Load() != 2 {
			t.Errorf("stopped after %v, writes at %v, %d calls; want 5s, one write, and 2 calls", d, at, calls.Load())
		}
	})
}

// TestStopWhileABatchIsWritten: one record of the batch is to be tried again,
// when the others are in their writer's hands. It has no key, so that nobody
// else knows of it.
func TestStopWhileABatchIsWritten(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		calls int64
	}{
		"after a pause": {stage.RetryAfter(errors.New("busy"), time.Minute), 1},
		"at once":       {errors.New("one of them is bad"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				r := newRig(nil)
				r.stage.Transform = stage.TransformFunc[string, string](func(_ context.Context, in []string) ([]string, error) {
					calls.Add(1)
					errs := make([]error, len(in))
					if i := slices.Index(in, "bad"); i >= 0 {
						errs[i] = c.err
					}
					return in, &stage.BatchError{Errs: errs}
				})
				r.stage.Workers, r.stage.BatchSize = 1, 2
				r.stage.DrainTimeout = time.Hour
				r.stage.Retry = every(time.Nanosecond)
				r.around(func(_ int64, write func()) { time.Sleep(10 * time.Second); write() })
				r.push("good", "bad")
				stop := r.start(t)
				time.Sleep(5 * time.Second)
				start := time.Now()
				r.src.Revoke(0)
				if d, n := time.Since(start), calls.Load(); d != 5*time.Second || n != c.calls {
					t.Errorf("released after %v and %d calls; want 5s and %d", d, n, c.calls)
				}
				if n, m := len(r.sink.Values()), r.src.Mark(0); n != 1 || m.Offset != 1 {
					t.Errorf("%d written, committed %+v; want one of each", n, m)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}
