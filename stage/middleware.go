package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

// Use wraps t in middleware; the first is the outermost.
func Use[In, Out any](t Transform[In, Out], with ...Middleware[In, Out]) Transform[In, Out] {
	for i := len(with) - 1; i >= 0; i-- {
		t = with[i](t)
	}
	return t
}

// Timeout bounds each call of a transform. A call whose context ends by that
// fails with an error that says so, and is tried again like any other failure.
// The transform must heed its context: a goroutine cannot be stopped from
// outside.
func Timeout[In, Out any](d time.Duration) Middleware[In, Out] {
	return func(t Transform[In, Out]) Transform[In, Out] {
		return TransformFunc[In, Out](func(ctx context.Context, in []In) ([]Out, error) {
			limited, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			out, err := t.Transform(limited, in)
			if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("stage: no result within %v: %w", d, err)
			}
			return out, err
		})
	}
}

// RateLimit lets at most perSecond records a second into a transform, over
// all workers, and burst at once. A batch counts as its records; one that is
// larger than burst waits until all of it is due. perSecond and burst must be
// above 0.
func RateLimit[In, Out any](perSecond float64, burst int) Middleware[In, Out] {
	limit := rate.NewLimiter(rate.Limit(perSecond), burst)
	return func(t Transform[In, Out]) Transform[In, Out] {
		return TransformFunc[In, Out](func(ctx context.Context, in []In) ([]Out, error) {
			for left := len(in); left > 0; left -= burst {
				if err := limit.WaitN(ctx, min(left, burst)); err != nil {
					return nil, fmt.Errorf("stage: rate limit: %w", err)
				}
			}
			return t.Transform(ctx, in)
		})
	}
}
