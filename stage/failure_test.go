package stage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

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
		start := time.Now()
		r := newRig(same).withDeadLetters()
		r.stage.Retry.Backoff = time.Minute
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
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %v: there is nothing to wait for", d)
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

// TestRetryTotal: records that may be tried for ever are given up all the same
// when that has taken too long since the first failure.
func TestRetryTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := newRig(func(context.Context, string) (string, error) {
			time.Sleep(time.Second)
			return "", errors.New("not now") // at 1, 12, 23 and 34 s
		}).withDeadLetters()
		r.stage.Retry = every(10 * time.Second)
		r.stage.Retry.Total = 30 * time.Second
		r.push("a:1")
		r.runToEnd(t)
		if dead, d := r.dead.Values(), time.Since(start); len(dead) != 1 || dead[0].Attempts != 4 || d != 34*time.Second {
			t.Errorf("dead letters %+v after %v; want one of 4 attempts after 34s", dead, d)
		}
	})
}

// TestFirstErrorWins: what still fails while the stage ends is not the reason.
func TestFirstErrorWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed atomic.Int64
		r := newRig(func(_ context.Context, s string) (string, error) {
			defer failed.Add(1)
			if time.Sleep(time.Second); s == "b:1" {
				return "", stage.Permanent(errors.New("the first"))
			}
			time.Sleep(time.Second)
			return "", stage.Permanent(errors.New("a later one"))
		})
		r.push("a:1", "b:1", "c:1")
		err := stage.Run(t.Context(), &r.stage)
		if bad, ok := errors.AsType[*stage.RecordError](err); !ok || bad.Offset != 1 || strings.Contains(err.Error(), "later") {
			t.Errorf("error %v, want the first one's", err)
		}
		if failed.Load() != 3 {
			t.Errorf("%d records failed, want 3", failed.Load())
		}
	})
}

// TestPoisonInManyLanesStopsAtOnce: each of them is tried once at the most.
func TestPoisonInManyLanesStopsAtOnce(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var calls atomic.Int64
			r := newRig(func(context.Context, string) (string, error) {
				if calls.Add(1) > 1000 {
					panic("a hot loop")
				}
				return "", stage.Permanent(errors.New("bad record"))
			})
			const lanes = 50
			for p := range int32(lanes) {
				r.src.Push(p, []byte("k"), "v")
			}
			err := stage.Run(t.Context(), &r.stage)
			if _, ok := errors.AsType[*stage.RecordError](err); !ok || calls.Load() > lanes || time.Since(start) != 0 {
				t.Fatalf("error %v after %v and %d calls for %d records", err, time.Since(start), calls.Load(), lanes)
			}
		})
	}
}

// TestFailureInALostLaneIsNobodysBusiness: whoever has the lane now decides
// what becomes of the record.
func TestFailureInALostLaneIsNobodysBusiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := newRig(func(context.Context, string) (string, error) {
			calls.Add(1)
			time.Sleep(time.Minute)
			return "", stage.Permanent(errors.New("late"))
		})
		r.stage.DrainTimeout = time.Second
		r.push("a:1")
		stop := r.start(t)
		time.Sleep(100 * time.Millisecond)
		r.src.Revoke(0)
		time.Sleep(time.Hour)
		if calls.Load() != 1 {
			t.Fatalf("%d calls", calls.Load())
		}
		if err := stop(); err != nil {
			t.Errorf("stopped by a lost lane: %v", err)
		}
	})
}

// TestDeadLetterLimit: a dead letter an hour is a nuisance, three in a minute
// are an outage of the transform.
func TestDeadLetterLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(context.Context, string) (string, error) {
			return "", stage.Permanent(errors.New("broken"))
		}).withDeadLetters()
		r.stage.DeadLetterLimit = stage.DeadLetterLimit{Count: 3, Within: time.Minute}
		done := make(chan error, 1)
		go func() { done <- stage.Run(t.Context(), &r.stage) }()
		for range 5 {
			r.push("a:1")
			time.Sleep(time.Hour)
		}
		if n := len(r.dead.Values()); n != 5 {
			t.Fatalf("%d dead letters, want all 5", n)
		}
		r.push("a:1", "a:2", "a:3", "a:4")
		err := <-done
		bad, ok := errors.AsType[*stage.RecordError](err)
		if !ok || bad.Offset != 7 || !strings.Contains(err.Error(), "3 dead letters within 1m0s") || !strings.Contains(err.Error(), "broken") {
			t.Errorf("error %v; want one that names the third record and the limit", err)
		}
		if n, c := len(r.dead.Values()), r.src.Committed(0); n != 7 || c != 7 {
			t.Errorf("%d dead letters, committed %d; want 7 and 7: the third is not done", n, c)
		}
	})
}
