package stage

import (
	"context"
	"errors"
	"fmt"
)

// Transform makes one Out of each In. It knows nothing of Kafka: no offsets,
// no keys, no commits.
//
// out[i] is made from in[i], so a nil error comes with len(out) == len(in).
// When only some records failed, out still has len(in) entries and the error
// is a [*BatchError]; out[i] counts where its error is nil. Any other error
// fails the whole batch, and the stage then tries its halves, down to the record
// that is to blame.
//
// A stage calls Transform from several goroutines at once (see
// [Stage.Workers]), so it must be safe for concurrent use. It must not change
// in, nor keep it after it returns. When ctx ends it should return soon, with
// an error that is not [Permanent]. stagetest.TestTransform holds it to this.
type Transform[In, Out any] interface {
	Transform(ctx context.Context, in []In) (out []Out, err error)
}

// TransformFunc lets a plain function be a [Transform].
type TransformFunc[In, Out any] func(ctx context.Context, in []In) ([]Out, error)

// Transform calls f.
func (f TransformFunc[In, Out]) Transform(ctx context.Context, in []In) ([]Out, error) {
	return f(ctx, in)
}

// Middleware wraps a [Transform] in another one of the same type, for what is
// not the record's own business: logging, a rate limit, a timeout.
type Middleware[In, Out any] func(Transform[In, Out]) Transform[In, Out]

// Map makes a [Transform] of a function on one record. Records of one batch
// run one after the other; an error or a panic fails its own record only.
func Map[In, Out any](f func(ctx context.Context, in In) (Out, error)) Transform[In, Out] {
	one := func(ctx context.Context, in In) (out Out, err error) {
		defer recoverTo(&err)
		return f(ctx, in)
	}
	return TransformFunc[In, Out](func(ctx context.Context, in []In) ([]Out, error) {
		out := make([]Out, len(in))
		var failed BatchError
		for i := range in {
			v, err := one(ctx, in[i])
			if err != nil {
				failed.set(len(in), i, err)
				continue
			}
			out[i] = v
		}
		return out, failed.orNil()
	})
}

// Then runs f and gives its results to g. Records that f fails or skips do not
// reach g; the others do.
func Then[A, B, C any](f Transform[A, B], g Transform[B, C]) Transform[A, C] {
	return TransformFunc[A, C](func(ctx context.Context, in []A) ([]C, error) {
		mid, err := f.Transform(ctx, in)
		failed, err := asBatch(len(in), len(mid), err)
		if err != nil {
			return nil, err
		}
		if failed == nil {
			return g.Transform(ctx, mid)
		}

		good := make([]B, 0, len(mid))
		at := make([]int, 0, len(mid))
		for i := range mid {
			if failed.Errs[i] == nil {
				good = append(good, mid[i])
				at = append(at, i)
			}
		}
		out := make([]C, len(in))
		if len(good) == 0 {
			return out, failed
		}
		some, err := g.Transform(ctx, good)
		failedToo, err := asBatch(len(good), len(some), err)
		if err != nil {
			return nil, err
		}
		// A BatchError belongs to whoever made it: write into a copy.
		merged := &BatchError{Errs: append([]error(nil), failed.Errs...)}
		for j, i := range at {
			out[i] = some[j]
			if failedToo != nil {
				merged.Errs[i] = failedToo.Errs[j]
			}
		}
		return out, merged
	})
}

// Lift makes a [Transform] on one field work on the record around it: get
// takes the field out, put sets the result beside it. Method expressions fit:
//
//	stage.Lift(model, Post.text, Post.withVector)
func Lift[T, A, B, U any](t Transform[A, B], get func(T) A, put func(T, B) U) Transform[T, U] {
	return TransformFunc[T, U](func(ctx context.Context, in []T) ([]U, error) {
		fields := make([]A, len(in))
		for i := range in {
			fields[i] = get(in[i])
		}
		results, err := t.Transform(ctx, fields)
		failed, err := asBatch(len(in), len(results), err)
		if err != nil {
			return nil, err
		}
		out := make([]U, len(in))
		for i := range in {
			if failed == nil || failed.Errs[i] == nil {
				out[i] = put(in[i], results[i])
			}
		}
		if failed != nil {
			return out, failed
		}
		return out, nil
	})
}

// asBatch reads what a Transform returned for n records: a *BatchError (nil
// when all went well), or an error that fails the batch. It turns a broken
// contract into a permanent error, since the same call would break it again.
func asBatch(n, got int, err error) (*BatchError, error) {
	failed, partial := errors.AsType[*BatchError](err)
	if err != nil && !partial {
		return nil, err
	}
	if got != n {
		return nil, Permanent(fmt.Errorf("stage: a Transform returned %d results for %d records; out[i] must be made from in[i]", got, n))
	}
	if partial && len(failed.Errs) != n {
		return nil, Permanent(fmt.Errorf("stage: a Transform returned a BatchError of %d errors for %d records; Errs[i] must belong to in[i]", len(failed.Errs), n))
	}
	return failed, nil
}
