package stage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

var errAway = errors.New("no leader")

// refusals notes when a sink was asked to write each value, and refuses the
// first n[value] of those.
type refusals struct {
	start time.Time
	n     map[string]int
	mu    sync.Mutex
	asked map[string][]time.Duration
}

func refuse(sink *stagetest.Sink[string], n map[string]int) *refusals {
	f := &refusals{start: time.Now(), n: n, asked: make(map[string][]time.Duration)}
	sink.Refuse = func(rec stage.Record[string], _ int) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked[rec.Value] = append(f.asked[rec.Value], time.Since(f.start))
		if len(f.asked[rec.Value]) <= f.n[rec.Value] {
			return errAway
		}
		return nil
	}
	return f
}

// again has the next write of v refused as well.
func (f *refusals) again(v string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n[v] = len(f.asked[v]) + 1
}

func (f *refusals) times(v string) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked[v])
}

const always = 1 << 30

func every(d time.Duration) stage.Retry {
	return stage.Retry{Attempts: stage.Forever, Backoff: d, MaxBackoff: d, Jitter: stage.NoJitter}
}

func TestWriteIsTriedAgainAfterABackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		r.stage.Retry = stage.Retry{Backoff: time.Second, Jitter: stage.NoJitter}
		f := refuse(&r.sink, map[string]int{"a:1": 3})
		r.push("a:1")
		r.runToEnd(t)
		want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}
		if got := f.times("a:1"); !slices.Equal(got, want) {
			t.Errorf("written at %v, want %v", got, want)
		}
	})
}

// TestRetryTotalOfWrites counts from the first write that failed, and is looked
// at before the next one.
func TestRetryTotalOfWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		r.stage.Retry = every(10 * time.Second)
		r.stage.Retry.Total = 25 * time.Second
		f := refuse(&r.sink, map[string]int{"a:1": always})
		time.Sleep(time.Hour)
		r.push("a:1")
		err := stage.Run(t.Context(), &r.stage)
		if bad, ok := errors.AsType[*stage.RecordError](err); !ok || bad.Step != stage.StepWrite || bad.Attempts != 3 || len(f.times("a:1")) != 3 {
			t.Errorf("error %v after writes at %v; want one after 3", err, f.times("a:1"))
		}
	})
}

// TestManyRefusedForGoodCostTheOthersLittle: in one order, 100 records that
// become dead letters do not have the 100 behind them written 100 times.
func TestManyRefusedForGoodCostTheOthersLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same).withDeadLetters()
		r.stage.Order, r.stage.BatchSize = stage.ByPartition, 200
		r.sink.Latency = time.Millisecond
		r.sink.Refuse = func(rec stage.Record[string], _ int) error {
			if rec.Offset < 100 {
				return stage.Permanent(errors.New("too large"))
			}
			return nil
		}
		for i := range 200 {
			r.push(fmt.Sprintf("a:%d", i))
		}
		r.runToEnd(t)
		if n, dead := len(r.sink.Values()), len(r.dead.Values()); n > 300 || dead != 100 {
			t.Errorf("%d writes of 100 records, %d dead letters; want at most 300, and 100", n, dead)
		}
	})
}

// TestRecordIsDoneWhenAllItsTargetsHaveIt: one target is slow.
func TestRecordIsDoneWhenAllItsTargetsHaveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		slow := &stagetest.Sink[string]{Latency: 10 * time.Second}
		r.stage.Sink = split(r.sink.Sink(), slow.Sink(), func(string) (bool, bool) { return true, true })
		r.push("a:1")
		stop := r.start(t)
		time.Sleep(5 * time.Second)
		if n, c := len(r.sink.Values()), r.src.Committed(0); n != 1 || c != 0 {
			t.Errorf("%d written by the fast target, %d committed; want 1, and 0 before the slow one has answered", n, c)
		}
		time.Sleep(10 * time.Second)
		if c := r.src.Committed(0); c != 1 {
			t.Errorf("committed %d, want 1", c)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestRefusedForGoodByOneTarget: that the other one is only away for now, and
// said so first, changes nothing.
func TestRefusedForGoodByOneTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same).withDeadLetters()
		slow := &stagetest.Sink[string]{Latency: time.Second}
		slow.Refuse = func(stage.Record[string], int) error { return stage.Permanent(errors.New("too large")) }
		f := refuse(&r.sink, map[string]int{"a:1": always})
		r.stage.Sink = split(r.sink.Sink(), slow.Sink(), func(string) (bool, bool) { return true, true })
		r.push("a:1")
		r.runToEnd(t)
		dead := r.dead.Values()
		if len(dead) != 1 || !strings.Contains(dead[0].Err.Error(), "too large") || len(f.times("a:1")) != 1 {
			t.Errorf("dead letters %+v after writes at %v; want one after one", dead, f.times("a:1"))
		}
	})
}

// TestWriteThatFailsInSeveralRounds: the first of two outputs of a key fails
// at once, again and again, and the other one's answer is still to come.
func TestWriteThatFailsInSeveralRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(nil)
		r.stage.Transform = stage.TransformFunc[string, string](func(_ context.Context, in []string) ([]string, error) { return in, nil })
		r.stage.BatchSize, r.stage.Retry = 2, every(time.Second)
		f := refuse(&r.sink, map[string]int{"a:1": 4})
		// The second target's Write begins when the first one has answered,
		// and its answer comes when that call is long over.
		var slow rig
		slow.sink.Latency = 5 * time.Second
		slow.stage.Sink = slow.sink.Sink()
		slow.around(func(_ int64, write func()) { time.Sleep(time.Millisecond); write() })
		r.stage.Sink = split(r.sink.Sink(), slow.stage.Sink, func(v string) (bool, bool) { return v == "a:1", v == "a:2" })
		r.push("a:1", "a:2")
		stop := r.start(t)
		time.Sleep(time.Minute)
		if n, m := len(f.times("a:1")), len(slow.sink.Values()); n != 5 || m != 5 {
			t.Errorf("%d writes of the first, %d of the second; want 5 each", n, m)
		}
		if c := r.src.Committed(0); c != 2 {
			t.Errorf("committed %d, want 2", c)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestRewriteThatWasOvertakenStops: a worker hangs in Write after its output
// was refused; another one writes that again, and hangs before it does. When
// the first comes back the key is not its business any more: a later record
// would pass in front of the one that hangs.
func TestRewriteThatWasOvertakenStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		r.stage.Retry = every(time.Second)
		refuse(&r.sink, map[string]int{"a:1": 2})
		r.around(func(nth int64, write func()) {
			switch nth {
			case 2: // at 1 s, until 11 s
				write()
				time.Sleep(10 * time.Second)
			case 3: // at 2 s, until 22 s
				time.Sleep(20 * time.Second)
				write()
			default:
				write()
			}
		})
		r.push("a:1")
		stop := r.start(t)
		time.Sleep(15 * time.Second)
		if n := len(r.sink.Values()); n != 0 {
			t.Fatalf("%d written: no Write hangs", n)
		}
		r.push("a:2")
		time.Sleep(time.Minute)
		if got, want := r.sink.Values(), []string{"a:1", "a:2"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q", got, want)
		}
		if c := r.src.Committed(0); c != 2 {
			t.Errorf("committed %d, want 2", c)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// poisonAfter makes a transform that fails "poison" for good after d.
func poisonAfter(d time.Duration) func(context.Context, string) (string, error) {
	return func(_ context.Context, s string) (string, error) {
		if strings.HasSuffix(s, "poison") {
			time.Sleep(d)
			return "", stage.Permanent(errors.New("bad record"))
		}
		return s, nil
	}
}

// TestFailureDropsARewriteThatWaits: nobody waits out its backoff.
func TestFailureDropsARewriteThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(poisonAfter(time.Second))
		r.stage.Retry = every(time.Hour)
		f := refuse(&r.sink, map[string]int{"a:1": 1})
		r.push("a:1", "a:2", "b:poison")
		err := stage.Run(t.Context(), &r.stage)
		if bad, ok := errors.AsType[*stage.RecordError](err); !ok || bad.Offset != 2 || strings.Contains(err.Error(), "not finished") {
			t.Errorf("error %v", err)
		}
		if d := time.Since(f.start); d != time.Second || len(f.times("a:1")) != 1 {
			t.Errorf("stopped after %v and writes at %v; want 1s and one write", d, f.times("a:1"))
		}
		if c := r.src.Committed(0); c != 0 {
			t.Errorf("committed %d, want 0", c)
		}
	})
}

// TestFailureWhileOutputsAreWrittenAgain: the call that has begun ends, and
// there is no further round.
func TestFailureWhileOutputsAreWrittenAgain(t *testing.T) {
	for _, rounds := range []int{2, always} {
		t.Run(fmt.Sprintf("%d refused", rounds), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(poisonAfter(25 * time.Second))
				r.stage.Retry = every(time.Second)
				f := refuse(&r.sink, map[string]int{"a:1": rounds})
				r.around(func(_ int64, write func()) { time.Sleep(10 * time.Second); write() }) // at 0, 11 and 22 s
				r.push("a:1", "b:poison")
				err := stage.Run(t.Context(), &r.stage)
				if bad, ok := errors.AsType[*stage.RecordError](err); !ok || bad.Offset != 1 || strings.Contains(err.Error(), "not finished") {
					t.Errorf("error %v", err)
				}
				if d, n := time.Since(f.start), len(f.times("a:1")); d != 32*time.Second || n != 3 {
					t.Errorf("stopped after %v and %d writes; want 32s and 3", d, n)
				}
				if c := r.src.Committed(0); (c == 1) != (rounds == 2) {
					t.Errorf("committed %d", c)
				}
			})
		})
	}
}

// TestNothingFollowsAWriteThatWasDropped: a later record of its key is in a
// transform when the stage fails. Were that written, it would count as done,
// and the next run would write the first one behind it.
func TestNothingFollowsAWriteThatWasDropped(t *testing.T) {
	for name, c := range map[string]struct {
		retry  stage.Retry
		poison string
	}{
		"its write fails the stage":  {stage.Retry{Attempts: 1, Backoff: time.Second}, "b:fine"},
		"another record does it":     {every(time.Hour), "b:poison"},
		"its write was to be in 3 s": {every(3 * time.Second), "b:poison"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				poison := poisonAfter(2 * time.Second)
				r := newRig(func(ctx context.Context, s string) (string, error) {
					if s == "a:2" {
						time.Sleep(5 * time.Second)
					}
					return poison(ctx, s)
				})
				r.stage.Retry = c.retry
				f := refuse(&r.sink, map[string]int{"a:1": 1})
				r.push("a:1", "a:2", c.poison)
				start := time.Now()
				err := stage.Run(t.Context(), &r.stage)
				if _, ok := errors.AsType[*stage.RecordError](err); !ok || strings.Contains(err.Error(), "not finished") || time.Since(start) != 5*time.Second {
					t.Fatalf("error %v after %v", err, time.Since(start))
				}
				if n := len(f.times("a:1")); n != 1 {
					t.Fatalf("the first record was written %d times; want it dropped after the first", n)
				}
				r.stage.Transform = stage.Map(same)
				r.runToEnd(t)
				got := r.sink.Values()
				got = slices.DeleteFunc(got, func(v string) bool { return !strings.HasPrefix(v, "a:") })
				if n := len(got); n < 2 || got[n-2] != "a:1" || got[n-1] != "a:2" {
					t.Errorf("written %q, want a:2 last", got)
				}
			})
		})
	}
}

// TestRevokeFinishesARewriteThatWaits: its transform is done, so it counts as
// begun.
func TestRevokeFinishesARewriteThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		r.stage.Retry = every(10 * time.Second)
		r.stage.DrainTimeout = time.Minute
		f := refuse(&r.sink, map[string]int{"a:1": 2})
		r.push("a:1")
		stop := r.start(t)
		time.Sleep(time.Second)
		r.src.Revoke(0)
		if d, c := time.Since(f.start), r.src.Committed(0); d != 20*time.Second || c != 1 || len(f.times("a:1")) != 3 {
			t.Errorf("released after %v, committed %d, writes at %v; want 20s, 1 and 3 writes", d, c, f.times("a:1"))
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLostLaneIsNotWrittenAgain: its write fails, and is to be tried again,
// when the next tenure has long begun. Nor does that stop the stage.
func TestLostLaneIsNotWrittenAgain(t *testing.T) {
	for name, c := range map[string]struct {
		backoff time.Duration
		writes  int
	}{
		"a rewrite waits":   {10 * time.Second, 2},
		"a rewrite is sent": {100 * time.Millisecond, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(same)
				r.stage.DrainTimeout = time.Second
				r.stage.Retry = every(c.backoff)
				f := refuse(&r.sink, map[string]int{"a:1": 1})
				r.around(func(nth int64, write func()) {
					if nth == 2 && c.writes == 3 {
						time.Sleep(10 * time.Second)
						f.again("a:1")
					}
					write()
				})
				r.push("a:1")
				stop := r.start(t)
				time.Sleep(500 * time.Millisecond)
				r.src.Revoke(0) // gives up after DrainTimeout
				if d, got := time.Since(f.start), r.sink.Values(); d != 1500*time.Millisecond || len(got) != 0 {
					t.Fatalf("released after %v with %q written: the lane was not lost", d, got)
				}
				r.push("a:2")
				r.src.Assign(0)
				time.Sleep(time.Hour)
				if got, want := r.sink.Values(), []string{"a:1", "a:2"}; !slices.Equal(got, want) {
					t.Errorf("written %q, want %q", got, want)
				}
				if got := f.times("a:1"); len(got) != c.writes {
					t.Errorf("writes of the first record at %v, want %d", got, c.writes)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}
