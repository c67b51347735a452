package stagetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// TransformFixture is a transform and what [TestTransform] gives to it.
// Transform and In are required.
type TransformFixture[In, Out any] struct {
	// Transform is what is tested.
	Transform stage.Transform[In, Out]
	// In gives the i-th record: one that the transform can do, or skips by
	// [stage.ErrSkip]. For an i it is always the same, in memory of its own. Of
	// the first 24, no two that follow each other may have equal results.
	In func(i int) In
	// Bad, if set, gives the i-th record that the transform must fail, for its
	// own fault.
	Bad func(i int) In
	// Equal reports whether two results of the same record are the same. Nil
	// means reflect.DeepEqual; sums of floats need a tolerance.
	Equal func(a, b Out) bool
	// Largest is how many records the largest batch has. Zero means 1,000.
	Largest int
}

// TestTransform holds a transform to what [stage.Transform] promises. It asks
// open for a fixture several times.
//
// Run it with -race: that a transform is safe for concurrent use, and reads
// nothing of its batch after it has returned, shows only then.
func TestTransform[In, Out any](t *testing.T, open func(tb testing.TB) TransformFixture[In, Out]) {
	t.Helper()
	runChecks(t, open, transformChecks[In, Out])
}

// transformChecks lists the checks that make sense for a transform.
func transformChecks[In, Out any](tb testing.TB, f TransformFixture[In, Out]) []check[TransformFixture[In, Out]] {
	tb.Helper()
	if f.Transform == nil || f.In == nil {
		tb.Fatal("stagetest: a TransformFixture needs Transform and In")
	}
	checks := []check[TransformFixture[In, Out]]{
		{"makes each result from its record", testBatches[In, Out]},
		{"takes an empty batch", testEmptyBatch[In, Out]},
		{"runs concurrently", testConcurrentTransforms[In, Out]},
		{"leaves its batch alone", testBatchIsLeftAlone[In, Out]},
		{"returns when the context ends", testTransformCancel[In, Out]},
	}
	if f.Bad != nil {
		checks = append(checks, check[TransformFixture[In, Out]]{"fails bad records alone", testBadRecords[In, Out]})
	}
	return checks
}

// result is what became of one record.
type result[Out any] struct {
	out Out
	err error
}

// trial is a transform under test, and what it makes of each record alone.
type trial[In, Out any] struct {
	tb    testing.TB
	f     TransformFixture[In, Out]
	alone []result[Out] // of the first records
}

// singles is how many records there are. Larger batches repeat them.
const singles = 24

func (f TransformFixture[In, Out]) try(tb testing.TB) *trial[In, Out] {
	tb.Helper()
	t := &trial[In, Out]{tb: tb, f: f}
	for i := range singles {
		if !reflect.DeepEqual(f.In(i), f.In(i)) {
			tb.Fatalf("stagetest: In(%d) gives another record each time, so that the suite can't see whether one is changed", i)
		}
		results, err := t.call(tb.Context(), []In{f.In(i)})
		if err == nil {
			err = results[0].err
		}
		if err != nil && !errors.Is(err, stage.ErrSkip) {
			tb.Fatalf("record %d alone failed: %v", i, err)
		}
		r := result[Out]{err: err}
		if err == nil {
			r.out = results[0].out
		}
		if i > 0 && t.same(r, t.alone[i-1]) {
			tb.Fatalf("stagetest: records %d and %d have equal results, so that the suite can't see whether they are mixed up", i-1, i)
		}
		t.alone = append(t.alone, r)
	}
	return t
}

func (t *trial[In, Out]) same(a, b result[Out]) bool {
	switch {
	case a.err != nil || b.err != nil:
		return a.err != nil && b.err != nil
	case t.f.Equal != nil:
		return t.f.Equal(a.out, b.out)
	}
	return reflect.DeepEqual(a.out, b.out)
}

// call gives in to the transform and reads the answer as a stage does. An
// error is one that fails the whole batch.
func (t *trial[In, Out]) call(ctx context.Context, in []In) (results []result[Out], err error) {
	t.tb.Helper()
	var out []Out
	within(t.tb, "Transform", func() { out, err = t.f.Transform.Transform(ctx, in) })
	failed, partial := errors.AsType[*stage.BatchError](err)
	switch {
	case err != nil && !partial:
		return nil, err
	case len(out) != len(in):
		t.tb.Fatalf("a batch of %d records gave %d results (error: %v); out[i] is made from in[i]", len(in), len(out), err)
	case partial && len(failed.Errs) != len(in):
		t.tb.Fatalf("a batch of %d records gave a BatchError with %d errors; Errs[i] belongs to in[i]", len(in), len(failed.Errs))
	case partial && failed.Unwrap() == nil:
		t.tb.Fatalf("a batch of %d records gave a BatchError in which no record failed; want a nil error then", len(in))
	}
	results = make([]result[Out], len(in))
	for i := range in {
		results[i].out = out[i]
		if partial {
			results[i].err = failed.Errs[i]
		}
	}
	return results, nil
}

// batch makes a batch of records by their numbers.
func (t *trial[In, Out]) batch(numbers []int) []In {
	in := make([]In, len(numbers))
	for i, n := range numbers {
		in[i] = t.f.In(n % singles)
	}
	return in
}

// compare transforms a batch and holds the results to those of its records
// alone.
func (t *trial[In, Out]) compare(numbers []int) {
	t.tb.Helper()
	results, err := t.call(t.tb.Context(), t.batch(numbers))
	if err != nil {
		t.tb.Fatalf("a batch of %d records failed, each of which can be done alone: %v", len(numbers), err)
	}
	t.check(numbers, results)
}

func (t *trial[In, Out]) check(numbers []int, results []result[Out]) {
	t.tb.Helper()
	for i, n := range numbers {
		want := t.alone[n%singles]
		if t.same(results[i], want) {
			continue
		}
		for o, other := range t.alone {
			if o != n%singles && t.same(results[i], other) {
				t.tb.Fatalf("in a batch of %d records, result %d is that of another record: %s, want %s", len(numbers), i, results[i], want)
			}
		}
		t.tb.Fatalf("in a batch of %d records, result %d is %s, and it is %s when the record is alone", len(numbers), i, results[i], want)
	}
}

// String is for error messages.
func (r result[Out]) String() string {
	if r.err != nil {
		return fmt.Sprintf("error %q", r.err)
	}
	return show(r.out)
}

// count gives n numbers from first on, step apart.
func count(n, first, step int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = first + i*step
	}
	return numbers
}

func (f TransformFixture[In, Out]) largest() int {
	if f.Largest > 0 {
		return f.Largest
	}
	return 1000
}

func testBatches[In, Out any](tb testing.TB, f TransformFixture[In, Out]) {
	t := f.try(tb)
	for _, n := range []int{1, 2, 3, 7, 16, singles, f.largest()} {
		t.compare(count(n, 0, 1))  // in order,
		t.compare(count(n, 5, 13)) // mixed,
		t.compare(count(n, 3, 0))  // the same again and again
	}
}

func testEmptyBatch[In, Out any](tb testing.TB, f TransformFixture[In, Out]) {
	t := &trial[In, Out]{tb: tb, f: f}
	for _, in := range [][]In{nil, {}} {
		if _, err := t.call(tb.Context(), in); err != nil {
			tb.Fatalf("an empty batch failed: %v", err)
		}
	}
}

func testConcurrentTransforms[In, Out any](tb testing.TB, f TransformFixture[In, Out]) {
	t := f.try(tb)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 5 {
				t.compare(count(1+(g*7+i*11)%40, g*5, 1+i))
			}
		})
	}
	all.Wait()
}

func testBatchIsLeftAlone[In, Out any](tb testing.TB, f TransformFixture[In, Out]) {
	t := f.try(tb)
	for _, n := range []int{1, 5, singles} {
		numbers := count(n, 0, 1)
		in := t.batch(numbers)
		results, err := t.call(tb.Context(), in)
		if err != nil {
			tb.Fatalf("a batch of %d records failed, each of which can be done alone: %v", n, err)
		}
		for i := range in {
			if !reflect.DeepEqual(in[i], f.In(numbers[i])) {
				tb.Fatalf("the transform has changed record %d of a batch of %d: %s was %s", i, n, show(in[i]), show(f.In(numbers[i])))
			}
		}
		// The batch is the caller's again, and so are the results.
		var out []Out
		within(tb, "Transform", func() { out, err = f.Transform.Transform(tb.Context(), in) })
		for i := range in {
			in[i] = f.In((numbers[i] + 1) % singles)
		}
		t.compare(count(n, 2, 3))
		for i := range min(len(out), len(results)) {
			if results[i].err == nil && !t.same(result[Out]{out: out[i]}, results[i]) {
				tb.Fatalf("result %d of %d has changed since Transform returned it, when the caller used the batch again or in another call: a transform must not keep its batch, so not return it either (error: %v)", i, n, err)
			}
		}
	}
}

func testTransformCancel[In, Out any](tb testing.TB, f TransformFixture[In, Out]) {
	t := f.try(tb)
	numbers := count(f.largest(), 0, 1)
	judge := func(results []result[Out], err error) {
		tb.Helper()
		if err == nil {
			for i, r := range results {
				if r.err != nil && !errors.Is(r.err, stage.ErrSkip) {
					err = r.err
					results[i] = t.alone[numbers[i]%singles]
				}
			}
			t.check(numbers, results) // it may have been done, but then right
		}
		if err != nil && stage.IsPermanent(err) {
			tb.Fatalf("the context has ended, and the records failed for good: %v; nothing is wrong with them", err)
		}
	}
	for _, after := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond} {
		ctx, cancel := context.WithCancel(tb.Context())
		if after == 0 {
			cancel()
		} else {
			time.AfterFunc(after, cancel)
		}
		judge(t.call(ctx, t.batch(numbers)))
		cancel()
	}
	ctx, cancel := context.WithTimeout(tb.Context(), time.Nanosecond)
	<-ctx.Done()
	judge(t.call(ctx, t.batch(numbers)))
	cancel()
	t.compare(count(singles, 0, 1)) // it works on
}

// testBadRecords lets a transform fail the whole batch, as it may; then a
// stage tries the halves.
func testBadRecords[In, Out any](tb testing.TB, f TransformFixture[In, Out]) {
	t := f.try(tb)
	for i := range 3 {
		bad := f.Bad(i)
		results, err := t.call(tb.Context(), []In{bad})
		if err == nil && results[0].err == nil {
			tb.Fatalf("bad record %d alone did not fail: %s", i, results[0])
		}
		for _, at := range []int{0, 1, 4} {
			numbers := count(4, i, 1)
			in := t.batch(numbers)
			in = append(in[:at:at], append([]In{bad}, in[at:]...)...)
			results, err := t.call(tb.Context(), in)
			if err != nil {
				continue
			}
			if results[at].err == nil {
				tb.Fatalf("bad record %d did not fail among good ones: %s", i, results[at])
			}
			t.check(numbers, append(results[:at:at], results[at+1:]...))
		}
		t.compare(count(4, i, 1))
	}
}
