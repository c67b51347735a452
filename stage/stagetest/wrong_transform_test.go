package stagetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

type word struct{ Letters []byte }

func TestSuiteFindsWrongTransforms(t *testing.T) {
	const (
		batches    = "makes each result from its record"
		empty      = "takes an empty batch"
		concurrent = "runs concurrently"
		alone      = "leaves its batch alone"
		cancels    = "returns when the context ends"
		bad        = "fails bad records alone"
	)
	in := func(i int) word { return word{[]byte(strings.Repeat("x", i+1))} }
	isBad := func(w word) bool { return w.Letters == nil }
	length := func(_ context.Context, in []word) ([]int, error) {
		out := make([]int, len(in))
		failed := &stage.BatchError{Errs: make([]error, len(in))}
		for i, w := range in {
			if out[i] = len(w.Letters); isBad(w) {
				failed.Errs[i] = stage.Permanent(errors.New("no letters"))
			}
		}
		if failed.Unwrap() != nil {
			return out, failed
		}
		return out, nil
	}
	type transform = func(context.Context, []word) ([]int, error)
	for _, c := range []struct {
		wrong string
		do    func() transform
		want  map[string]string
	}{
		{"shuffles", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				slices.Reverse(out)
				return out, err
			}
		}, map[string]string{batches: "result 0 is that of another record", concurrent: "another record"}},
		{"shuffles large batches only", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				if len(in) > 500 {
					slices.Reverse(out)
				}
				return out, err
			}
		}, map[string]string{batches: "in a batch of 1000 records, result 0 is that of another record"}},
		{"gives too few results", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				return slices.Compact(out), err
			}
		}, map[string]string{batches: "gave 1 results"}},
		{"depends on its neighbours", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				for i := range out {
					out[i] += 1000 * (len(out) - 1)
				}
				return out, err
			}
		}, map[string]string{batches: "when the record is alone"}},
		{"fails an empty batch", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				if len(in) == 0 {
					return nil, errors.New("nothing to do")
				}
				return length(ctx, in)
			}
		}, map[string]string{empty: "an empty batch failed"}},
		{"gives a result for nothing", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				return append(out, make([]int, max(0, 1-len(in)))...), err
			}
		}, map[string]string{empty: "gave 1 results"}},
		{"shares a buffer between calls", func() transform {
			buffer := make([]int, 2000)
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				if len(in) != singles { // the others meet each other, which -race would see first
					return out, err
				}
				return buffer[:copy(buffer, out)], err
			}
		}, map[string]string{alone: "has changed since Transform returned it"}},
		{"changes its batch", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				for i := range in {
					in[i].Letters = nil
				}
				return out, err
			}
		}, map[string]string{alone: "the transform has changed record 0"}},
		{"changes what its batch points to", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				for i := range in {
					for j := range in[i].Letters {
						in[i].Letters[j] = 'y'
					}
				}
				return length(ctx, in)
			}
		}, map[string]string{alone: "the transform has changed record 0"}},
		{"fails for good when the context ends", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				if err := ctx.Err(); err != nil {
					return nil, stage.Permanent(err)
				}
				return length(ctx, in)
			}
		}, map[string]string{cancels: "nothing is wrong with them"}},
		{"gives half the results when the context ends", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				if ctx.Err() != nil {
					clear(out[len(out)/2:])
				}
				return out, err
			}
		}, map[string]string{cancels: "result 500 is 0"}},
		{"does not return when the context ends", func() transform {
			forever := make(chan struct{})
			return func(ctx context.Context, in []word) ([]int, error) {
				if ctx.Err() != nil {
					select {
					case <-forever:
					case <-time.After(2 * patience):
					}
				}
				return length(ctx, in)
			}
		}, map[string]string{cancels: "Transform has not returned"}},
		{"does not work after it was cancelled", func() transform {
			var broken error
			return func(ctx context.Context, in []word) ([]int, error) {
				if ctx.Err() != nil {
					broken = errors.New("session is closed")
				}
				if broken != nil {
					return nil, broken
				}
				return length(ctx, in)
			}
		}, map[string]string{cancels: "session is closed"}},
		{"passes bad records", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, _ := length(ctx, in)
				return out, nil
			}
		}, map[string]string{bad: "bad record 0 alone did not fail"}},
		{"blames another record", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				if failed, ok := errors.AsType[*stage.BatchError](err); ok {
					slices.Reverse(failed.Errs)
				}
				return out, err
			}
		}, map[string]string{bad: "did not fail among good ones"}},
		{"fails the others as well", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				if failed, ok := errors.AsType[*stage.BatchError](err); ok {
					for i := range failed.Errs {
						failed.Errs[i] = errors.New("the batch is bad")
					}
				}
				return out, err
			}
		}, map[string]string{bad: "result 0 is error"}},
		{"gives the errors of the bad records only", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				if failed, ok := errors.AsType[*stage.BatchError](err); ok && len(in) > 1 {
					return out, &stage.BatchError{Errs: failed.Unwrap()}
				}
				return out, err
			}
		}, map[string]string{bad: "a BatchError with 1 errors"}},
		{"gives no results beside a BatchError", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, err := length(ctx, in)
				if err != nil {
					return nil, err
				}
				return out, nil
			}
		}, map[string]string{bad: "gave 0 results"}},
		{"gives a BatchError without an error", func() transform {
			return func(ctx context.Context, in []word) ([]int, error) {
				out, _ := length(ctx, in)
				return out, &stage.BatchError{Errs: make([]error, len(in))}
			}
		}, map[string]string{batches: "in which no record failed"}},
	} {
		t.Run(c.wrong, func(t *testing.T) {
			found := findings(t, func(testing.TB) TransformFixture[word, int] {
				return TransformFixture[word, int]{
					Transform: stage.TransformFunc[word, int](c.do()),
					In:        in,
					Bad:       func(int) word { return word{} },
				}
			}, transformChecks)
			wantFindings(t, found, c.want)
		})
	}
}

// TestSuiteFindsATransformThatKeepsItsBatch returns the batch as its results.
func TestSuiteFindsATransformThatKeepsItsBatch(t *testing.T) {
	found := findings(t, func(testing.TB) TransformFixture[int, int] {
		same := func(_ context.Context, in []int) ([]int, error) { return in, nil }
		return TransformFixture[int, int]{Transform: stage.TransformFunc[int, int](same), In: func(i int) int { return i }}
	}, transformChecks)
	wantFindings(t, found, map[string]string{"leaves its batch alone": "must not keep it"})
}

// TestSuiteFindsAFixtureThatShowsNothing: checks that could not fail are no
// checks.
func TestSuiteFindsAFixtureThatShowsNothing(t *testing.T) {
	found := findings(t, func(testing.TB) TransformFixture[int, int] {
		same := func(_ context.Context, in []int) ([]int, error) { return slices.Clone(in), nil }
		return TransformFixture[int, int]{Transform: stage.TransformFunc[int, int](same), In: func(int) int { return 7 }}
	}, transformChecks)
	wantFindings(t, found, map[string]string{"makes each result from its record": "have equal results"})
}
