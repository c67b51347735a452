package stage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// rig is a stage over memory, in a bubble of fake time.
type rig struct {
	src   stagetest.Source[string]
	sink  stagetest.Sink[string]
	dead  stagetest.Sink[stage.DeadLetter]
	stage stage.Stage[string, string]
}

func newRig(f func(context.Context, string) (string, error)) *rig {
	r := &rig{}
	r.stage = stage.Stage[string, string]{
		Name:      "test",
		Source:    r.src.Source(),
		Transform: stage.Map(f),
		Sink:      r.sink.Sink(),
		Workers:   8,
		Logger:    slog.New(slog.DiscardHandler),
	}
	return r
}

func (r *rig) withDeadLetters() *rig {
	r.stage.DeadLetters = r.dead.Sink()
	return r
}

// push adds values "key:n" to partition 0; a value without a key has none.
func (r *rig) push(values ...string) {
	for _, v := range values {
		var key []byte
		if k, _, ok := strings.Cut(v, ":"); ok {
			key = []byte(k)
		}
		r.src.Push(0, key, v)
	}
}

func (r *rig) runToEnd(t *testing.T) {
	t.Helper()
	r.src.End()
	if err := stage.Run(t.Context(), &r.stage); err != nil {
		t.Fatal(err)
	}
}

func same(_ context.Context, s string) (string, error) { return s, nil }

func TestRunWritesEverythingAndCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(_ context.Context, s string) (string, error) { return strings.ToUpper(s), nil })
		r.push("a:1", "b:1", "a:2", "plain")
		r.runToEnd(t)
		got := r.sink.Values()
		slices.Sort(got)
		if want := []string{"A:1", "A:2", "B:1", "PLAIN"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q", got, want)
		}
		if c := r.src.Committed(0); c != 4 {
			t.Errorf("committed %d, want 4", c)
		}
	})
}

func TestKeyHeadersAndTimeTravel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		at := time.Date(2019, 6, 1, 12, 0, 0, 0, time.UTC)
		r.src.PushRecord(stage.Record[string]{Value: "v", Raw: stage.Raw{
			Key: []byte("k"), Time: at, Headers: []stage.Header{{Key: "id", Value: []byte("7")}},
		}})
		r.runToEnd(t)
		out := r.sink.Written()[0]
		id, ok := out.Header("id")
		if string(out.Key) != "k" || !out.Time.Equal(at) || !ok || string(id) != "7" {
			t.Errorf("key %q, time %v, header %q", out.Key, out.Time, id)
		}
	})
}

func TestStageKeyChangesTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		r.stage.Key = func(v string) []byte { return []byte("new-" + v) }
		r.push("a:1")
		r.runToEnd(t)
		if k := string(r.sink.Written()[0].Key); k != "new-a:1" {
			t.Errorf("key %q", k)
		}
	})
}

// TestOrder runs random work with random failures. As long as all writes
// succeed, nothing is written twice and everything in order. Where writes
// fail, what followed in the same order is written again: then the last
// appearances are in order.
func TestOrder(t *testing.T) {
	for _, order := range []stage.Order{stage.ByKey, stage.ByPartition, stage.Unordered} {
		for _, batch := range []int{1, 7} {
			for _, refuse := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v batch %d refuse %v", order, batch, refuse), func(t *testing.T) {
					seed := rand.Uint64()
					t.Logf("seed %d", seed)
					synctest.Test(t, func(t *testing.T) { testOrder(t, order, batch, refuse, seed) })
				})
			}
		}
	}
}

func testOrder(t *testing.T, order stage.Order, batch int, refuse bool, seed uint64) {
	const records, keys = 2000, 17
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	random := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }

	var failures, refusals atomic.Int64
	r := newRig(func(_ context.Context, s string) (string, error) {
		time.Sleep(time.Duration(random(20)) * time.Millisecond)
		if random(10) == 0 {
			failures.Add(1)
			return "", errors.New("not now")
		}
		return s, nil
	})
	r.stage.Workers, r.stage.BatchSize, r.stage.Order = 16, batch, order
	r.stage.Retry = stage.Retry{Attempts: stage.Forever}
	r.sink.Latency = 3 * time.Millisecond
	r.sink.Refuse = func(stage.Record[string], int) error {
		if refuse && random(50) == 0 {
			refusals.Add(1)
			return errors.New("broker is gone")
		}
		return nil
	}
	for i := range records {
		k := fmt.Sprintf("k%d", random(keys))
		r.push(fmt.Sprintf("%s:%d", k, i))
	}
	r.runToEnd(t)

	written := r.sink.Values()
	slices.Reverse(written) // the first appearance from behind is the last one
	seen := make(map[string]bool)
	last := make(map[string]int)
	wrong := 0
	for _, v := range written {
		if seen[v] {
			continue
		}
		seen[v] = true
		k, num, _ := strings.Cut(v, ":")
		if order == stage.ByPartition {
			k = ""
		}
		n, err := strconv.Atoi(num)
		if err != nil {
			t.Fatal(err)
		}
		if l, ok := last[k]; ok && n > l {
			wrong++
		}
		last[k] = n
	}
	if len(seen) != records {
		t.Errorf("%d of %d records arrived", len(seen), records)
	}
	if wrong > 0 && order != stage.Unordered {
		t.Errorf("%d records out of order", wrong)
	}
	if wrong == 0 && order == stage.Unordered {
		t.Error("Unordered kept the order: this test could not see a wrong one")
	}
	if !refuse && len(written) != records {
		t.Errorf("%d written of %d, though no write failed", len(written), records)
	}
	if failures.Load() == 0 || refuse != (refusals.Load() > 0) {
		t.Errorf("%d failures and %d refused writes: not what was to be tested", failures.Load(), refusals.Load())
	}
	if c := r.src.Committed(0); c != records {
		t.Errorf("committed %d", c)
	}
}

func TestRetryHoldsUpOnlyItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		r := newRig(func(_ context.Context, s string) (string, error) {
			if s == "slow:1" {
				if tries++; tries < 4 {
					return "", errors.New("not yet")
				}
			}
			return s, nil
		})
		r.push("slow:1", "slow:2", "a:1", "b:1")
		r.runToEnd(t)
		got := r.sink.Values()
		slices.Sort(got[:2])
		if want := []string{"a:1", "b:1", "slow:1", "slow:2"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

func TestRetryAfterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		tries := 0
		r := newRig(func(_ context.Context, s string) (string, error) {
			if tries++; tries == 1 {
				return "", stage.RetryAfter(errors.New("busy"), time.Minute)
			}
			return s, nil
		})
		r.push("a:1")
		r.runToEnd(t)
		if d := time.Since(start); d < time.Minute || d > 2*time.Minute {
			t.Errorf("took %v", d)
		}
	})
}

func TestBatchTakesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		r := newRig(nil)
		r.stage.Transform = stage.TransformFunc[string, string](func(_ context.Context, in []string) ([]string, error) {
			sizes = append(sizes, len(in))
			time.Sleep(time.Second)
			return in, nil
		})
		r.stage.Workers, r.stage.BatchSize = 1, 4
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
		if want := []int{1, 4, 4, 1}; !slices.Equal(sizes, want) {
			t.Errorf("batches of %v, want %v", sizes, want)
		}
	})
}

func TestBatchWaitLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var took []time.Duration
		r := newRig(nil)
		r.stage.Transform = stage.TransformFunc[string, string](func(_ context.Context, in []string) ([]string, error) {
			took = append(took, time.Since(start))
			return in, nil
		})
		r.stage.Workers, r.stage.BatchSize, r.stage.BatchWait = 2, 3, 50*time.Millisecond
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			r.push("a") // alone: goes after BatchWait
			time.Sleep(time.Second)
			r.push("b", "c", "d") // full: goes at once
			time.Sleep(time.Second)
			stop()
		}()
		if err := stage.Run(ctx, &r.stage); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{50 * time.Millisecond, time.Second}; !slices.Equal(took, want) {
			t.Errorf("transforms at %v, want %v", took, want)
		}
	})
}

func TestSkipDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(_ context.Context, s string) (string, error) {
			if strings.HasSuffix(s, "2") {
				return "", fmt.Errorf("even: %w", stage.ErrSkip)
			}
			return s, nil
		})
		r.push("a:1", "a:2", "a:3")
		r.runToEnd(t)
		if got, want := r.sink.Values(), []string{"a:1", "a:3"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q", got, want)
		}
		if c := r.src.Committed(0); c != 3 {
			t.Errorf("committed %d, want 3", c)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	for name, fail := range map[string]func(tries int) error{
		"permanent": func(int) error { return stage.Permanent(errors.New("bad record")) },
		"panic":     func(int) error { panic("bad record") },
		"attempts":  func(int) error { return errors.New("bad record") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				r := newRig(func(_ context.Context, s string) (string, error) {
					if s == "a:2" {
						tries++
						return "", fail(tries)
					}
					return s, nil
				}).withDeadLetters()
				r.stage.Retry.Attempts = 3
				r.push("a:1", "a:2", "a:3")
				r.runToEnd(t)
				if got, want := r.sink.Values(), []string{"a:1", "a:3"}; !slices.Equal(got, want) {
					t.Errorf("written %q, want %q", got, want)
				}
				dead := r.dead.Values()
				if len(dead) != 1 {
					t.Fatalf("%d dead letters", len(dead))
				}
				d := dead[0]
				want := 1
				if name == "attempts" {
					want = 3
				}
				if d.Record.Offset != 1 || d.Step != stage.StepTransform || d.Stage != "test" || d.Attempts != want ||
					!strings.Contains(d.Err.Error(), "bad record") {
					t.Errorf("dead letter %+v", d)
				}
				if c := r.src.Committed(0); c != 3 {
					t.Errorf("committed %d, want 3", c)
				}
			})
		})
	}
}

func TestWithoutDeadLettersTheStageStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(_ context.Context, s string) (string, error) {
			if s == "b:1" {
				return "", stage.Permanent(errors.New("bad record"))
			}
			return s, nil
		})
		r.stage.Workers = 1
		r.push("a:1", "b:1", "c:1")
		err := stage.Run(t.Context(), &r.stage)
		bad, ok := errors.AsType[*stage.RecordError](err)
		if !ok || bad.Offset != 1 || bad.Topic != stagetest.Topic || bad.Step != stage.StepTransform {
			t.Fatalf("error %v", err)
		}
		if c := r.src.Committed(0); c != 1 {
			t.Errorf("committed %d, want 1: the record before the bad one", c)
		}
	})
}

func TestPoisonDoesNotFailItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls [][]string
		r := newRig(nil).withDeadLetters()
		r.stage.Transform = stage.TransformFunc[string, string](func(_ context.Context, in []string) ([]string, error) {
			calls = append(calls, slices.Clone(in))
			if slices.Contains(in, "c:poison") {
				panic("cannot tell which")
			}
			return in, nil
		})
		r.stage.Workers, r.stage.BatchSize = 1, 8
		r.push("a:1", "b:1", "c:poison", "c:1", "d:1")
		r.runToEnd(t)
		got := r.sink.Values()
		slices.Sort(got)
		if want := []string{"a:1", "b:1", "c:1", "d:1"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q (calls %q)", got, want, calls)
		}
		if dead := r.dead.Values(); len(dead) != 1 || dead[0].Record.Offset != 2 {
			t.Errorf("dead letters %+v", dead)
		}
	})
}

func TestRefusedForGoodBecomesADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same).withDeadLetters()
		r.sink.Latency = time.Millisecond
		r.sink.Refuse = func(rec stage.Record[string], _ int) error {
			if rec.Value == "a:2" {
				return stage.Permanent(errors.New("too large"))
			}
			return nil
		}
		r.push("a:1", "a:2", "a:3")
		r.runToEnd(t)
		got := r.sink.Values()
		if !slices.Contains(got, "a:1") || got[len(got)-1] != "a:3" || slices.Contains(got, "a:2") {
			t.Errorf("written %q", got)
		}
		if dead := r.dead.Values(); len(dead) != 1 || dead[0].Step != stage.StepWrite {
			t.Errorf("dead letters %+v", dead)
		}
		if c := r.src.Committed(0); c != 3 {
			t.Errorf("committed %d, want 3", c)
		}
	})
}

func TestRefusedDeadLetterStopsTheStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(context.Context, string) (string, error) {
			return "", stage.Permanent(errors.New("bad record"))
		}).withDeadLetters()
		r.dead.Refuse = func(stage.Record[stage.DeadLetter], int) error {
			return stage.Permanent(errors.New("no such topic"))
		}
		r.push("a:1", "a:2")
		err := stage.Run(t.Context(), &r.stage)
		bad, ok := errors.AsType[*stage.RecordError](err)
		if !ok || bad.Offset != 0 || !strings.Contains(err.Error(), "no such topic") {
			t.Fatalf("error %v", err)
		}
		if c := r.src.Committed(0); c != 0 {
			t.Errorf("committed %d past a record that is nowhere", c)
		}
	})
}

func TestUnwritableStopsTheStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same).withDeadLetters()
		r.sink.Refuse = func(stage.Record[string], int) error { return errors.New("no leader") }
		r.stage.Retry.Attempts = 3
		r.push("a:1", "a:2")
		err := stage.Run(t.Context(), &r.stage)
		bad, ok := errors.AsType[*stage.RecordError](err)
		if !ok || bad.Step != stage.StepWrite || bad.Attempts != 3 {
			t.Fatalf("error %v", err)
		}
		if n := len(r.dead.Values()); n != 0 {
			t.Errorf("%d dead letters: the records are not at fault", n)
		}
	})
}

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

func TestOneStageStopsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := newRig(same), newRig(func(context.Context, string) (string, error) {
			return "", stage.Permanent(errors.New("broken"))
		})
		good.push("a:1")
		bad.push("a:1")
		err := stage.Run(t.Context(), &good.stage, &bad.stage)
		if err == nil || !strings.Contains(err.Error(), "broken") {
			t.Fatalf("error %v", err)
		}
		if c := good.src.Committed(0); c != 1 {
			t.Errorf("the other stage committed %d, want 1", c)
		}
	})
}

func TestValidateReportsAllAtOnce(t *testing.T) {
	s := &stage.Stage[string, string]{Workers: -1, BatchSize: -1, Order: 9, Retry: stage.Retry{Jitter: 3}}
	err := stage.Run(t.Context(), s)
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Source:", "Transform:", "Sink:", "Workers:", "BatchSize:", "Order:", "Retry.Jitter:"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in %v", field, err)
		}
	}
	if err := stage.Run(t.Context()); err == nil {
		t.Error("Run of nothing: no error")
	}
}
