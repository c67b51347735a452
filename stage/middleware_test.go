package stage_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

func TestUseWrapsTheFirstOutermost(t *testing.T) {
	var calls []string
	named := func(name string) stage.Middleware[string, string] {
		return func(next stage.Transform[string, string]) stage.Transform[string, string] {
			return stage.TransformFunc[string, string](func(ctx context.Context, in []string) ([]string, error) {
				calls = append(calls, name)
				return next.Transform(ctx, in)
			})
		}
	}
	_, err := stage.Use(stage.Map(same), named("outer"), named("inner")).Transform(t.Context(), []string{"x"})
	if err != nil || !slices.Equal(calls, []string{"outer", "inner"}) {
		t.Errorf("calls %v, error %v", calls, err)
	}
}

// TestTimeoutIsForEachAttempt: the first attempt hangs, the second does not.
func TestTimeoutIsForEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		attempts := 0
		r := newRig(func(ctx context.Context, s string) (string, error) {
			if attempts++; attempts == 1 {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return s, nil
		})
		r.stage.Transform = stage.Use(r.stage.Transform, stage.Timeout[string, string](time.Minute))
		r.stage.Retry = stage.Retry{Backoff: time.Second, Jitter: stage.NoJitter}
		r.push("a:1")
		r.runToEnd(t)
		if took := time.Since(begun).Truncate(time.Second); attempts != 2 || took != 61*time.Second {
			t.Errorf("%d attempts in %v; want 2 in a minute and the pause", attempts, took)
		}
		if got := r.sink.Values(); !slices.Equal(got, []string{"a:1"}) {
			t.Errorf("written %q", got)
		}
	})
}

func TestTimeoutSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := stage.TransformFunc[int, int](func(ctx context.Context, _ []int) ([]int, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		_, err := stage.Use(slow, stage.Timeout[int, int](time.Second)).Transform(t.Context(), []int{1})
		if err == nil || !strings.Contains(err.Error(), "no result within 1s") || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		// The end of the stage is not the end of the time.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = stage.Use(slow, stage.Timeout[int, int](time.Second)).Transform(ctx, []int{1})
		if err == nil || strings.Contains(err.Error(), "no result within") {
			t.Errorf("error %v", err)
		}
	})
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r := newRig(same)
		r.stage.Transform = stage.Use(r.stage.Transform, stage.RateLimit[string, string](10, 5))
		r.stage.BatchSize = 8 // more than the burst
		for range 105 {
			r.push("")
		}
		r.runToEnd(t)
		if took := time.Since(begun).Round(time.Second); took != 10*time.Second {
			t.Errorf("105 records at 10 a second, 5 at once, took %v; want 10 s", took)
		}
	})
}
