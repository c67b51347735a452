package similarity_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/similaritytest"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// finder is a Finder by a function.
type finder func(ctx context.Context, queries []vector.Vector, k int) ([][]similarity.Hit, error)

func (f finder) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]similarity.Hit, error) {
	return f(ctx, queries, k)
}

// says is a Finder that has the same answer to every query.
func says(hits ...similarity.Hit) finder {
	return func(_ context.Context, queries []vector.Vector, _ int) ([][]similarity.Hit, error) {
		all := make([][]similarity.Hit, len(queries))
		for i := range all {
			all[i] = slices.Clone(hits)
		}
		return all, nil
	}
}

// hangs is a Finder that returns with its context; which is how long it took.
func hangs(took *time.Duration) finder {
	return func(ctx context.Context, _ []vector.Vector, _ int) ([][]similarity.Hit, error) {
		begun := time.Now()
		<-ctx.Done()
		*took = time.Since(begun)
		return nil, ctx.Err()
	}
}

var (
	near = similarity.Hit{ID: "near", Distance: 1}
	far  = similarity.Hit{ID: "far", Distance: 2}
)

// ask asks one query, and wants the hit that is near, at once.
func ask(t *testing.T, s *similarity.Shadow) {
	t.Helper()
	begun := time.Now()
	hits, err := s.Nearest(t.Context(), []vector.Vector{at(1, 2)}, 1)
	if err != nil || len(hits) != 1 || !slices.Equal(hits[0], []similarity.Hit{near}) || time.Since(begun) != 0 {
		t.Errorf("got %v, %v after %v", hits, err, time.Since(begun))
	}
}

func stats(t *testing.T, s *similarity.Shadow, want similarity.ShadowStats) {
	t.Helper()
	if got := s.Stats(); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// Whatever the Second is like, a Shadow is a Finder as good as its First.
func TestShadowIsItsFirst(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]similarity.Finder{
		"none":   nil,
		"wrong":  says(far),
		"panics": finder(func(context.Context, []vector.Vector, int) ([][]similarity.Hit, error) { panic("no") }),
		"fails":  finder(func(context.Context, []vector.Vector, int) ([][]similarity.Hit, error) { return nil, errors.New("no") }),
		"spoils": finder(func(_ context.Context, queries []vector.Vector, _ int) ([][]similarity.Hit, error) {
			for i := range queries {
				clear(queries[i].Values)
				queries[i].Space = "spoilt"
			}
			return make([][]similarity.Hit, len(queries)), nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
				index := similarity.NewIndex(metric)
				if err := index.Add(items...); err != nil {
					t.Fatal(err)
				}
				s := &similarity.Shadow{First: index, Second: second, MaxInFlight: 4, Differ: func(d similarity.Difference) {
					clear(d.Query.Values)
					clear(d.First)
					panic("an observer that spoils what it gets")
				}}
				t.Cleanup(func() {
					if err := s.Close(context.Background()); err != nil {
						t.Error(err)
					}
					if n := s.Stats(); second != nil && n.Disagreed+n.Failed == 0 {
						t.Errorf("%+v: the Second was never heard", n)
					}
				})
				return s
			})
		})
	}
}

// The Second hangs: answers come at once, as many calls wait for it as are
// allowed, and each only for its time.
func TestShadowWhoseSecondHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var took time.Duration
		s := &similarity.Shadow{First: says(near), Second: hangs(&took), Timeout: 3 * time.Second, MaxInFlight: 1}
		for range 5 {
			ask(t, s)
		}
		stats(t, s, similarity.ShadowStats{Dropped: 4})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		stats(t, s, similarity.ShadowStats{Dropped: 4, Failed: 1})
		if took != 3*time.Second {
			t.Errorf("the Second had %v", took)
		}
		ask(t, s) // there is room again
		stats(t, s, similarity.ShadowStats{Dropped: 4, Failed: 1})
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		stats(t, s, similarity.ShadowStats{Dropped: 4, Failed: 2})
	})
}

// The Second hangs and minds no context: its place stays taken, and that is all.
func TestShadowWhoseSecondNeverReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &similarity.Shadow{First: says(near), MaxInFlight: 2, Second: finder(func(context.Context, []vector.Vector, int) ([][]similarity.Hit, error) {
			<-release
			return [][]similarity.Hit{{near}}, nil // right, but late
		})}
		for range 5 {
			ask(t, s)
			time.Sleep(time.Hour)
		}
		stats(t, s, similarity.ShadowStats{Dropped: 3})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "has not returned") {
			t.Errorf("close: %v", err)
		}
		ask(t, s) // it answers on
		stats(t, s, similarity.ShadowStats{Dropped: 4})
		close(release)
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		stats(t, s, similarity.ShadowStats{Dropped: 4, Failed: 2})
	})
}

// The caller's context ends with the answer, and the caller uses its memory for
// something else; the Second is asked what the First was.
func TestShadowKeepsWhatItCompares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := make(chan struct{})
		s := &similarity.Shadow{First: says(near), Second: finder(func(ctx context.Context, queries []vector.Vector, k int) ([][]similarity.Hit, error) {
			<-begin
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if queries[0].Space != "plane" || !slices.Equal(queries[0].Values, []float32{1, 2}) || k != 7 {
				t.Errorf("the Second was asked %+v, %d", queries, k)
			}
			return [][]similarity.Hit{{near}}, nil
		})}
		ctx, cancel := context.WithCancel(t.Context())
		queries := []vector.Vector{at(1, 2)}
		hits, err := s.Nearest(ctx, queries, 7)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		queries[0].Values[0], queries[0] = 3, at(4, 5)
		hits[0][0] = far
		close(begin)
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		stats(t, s, similarity.ShadowStats{Agreed: 1})
	})
}

// What counts as the same answer.
func TestShadowAgrees(t *testing.T) {
	t.Parallel()
	hit := func(id string, distance float64) similarity.Hit { return similarity.Hit{ID: id, Distance: distance} }
	const little = 5e-7
	three := []similarity.Hit{hit("a", 1), hit("b", 2), hit("c", 2)}
	for name, c := range map[string]struct {
		first, second []similarity.Hit
		tolerance     float64
		agree         bool
	}{
		"nothing":                  {nil, []similarity.Hit{}, 0, true},
		"the same":                 {three, three, 0, true},
		"rounded":                  {three, []similarity.Hit{hit("a", 1+little), hit("b", 2-little), hit("c", 2)}, 0, true},
		"rounded far away":         {[]similarity.Hit{hit("a", 1e6)}, []similarity.Hit{hit("a", 1e6+0.5)}, 0, true},
		"below zero":               {[]similarity.Hit{hit("a", -1e6)}, []similarity.Hit{hit("a", -1e6+0.5)}, 0, true},
		"ties in another order":    {three, []similarity.Hit{hit("a", 1), hit("c", 2-little), hit("b", 2)}, 0, true},
		"another of the last ties": {three, []similarity.Hit{hit("a", 1), hit("b", 2), hit("d", 2+little)}, 0, true},
		"within a wide tolerance":  {three, []similarity.Hit{hit("a", 1.05), hit("b", 2), hit("c", 2.1)}, 0.1, true},
		"too far off":              {three, []similarity.Hit{hit("a", 1), hit("b", 2), hit("c", 2.00001)}, 0, false},
		"too short":                {three, three[:2], 0, false},
		"too long":                 {three[:2], three, 0, false},
		"nothing to something":     {nil, three, 0, false},
		"another id":               {three, []similarity.Hit{hit("x", 1), hit("b", 2), hit("c", 2)}, 0, false},
		"ids exchanged":            {three, []similarity.Hit{hit("b", 1), hit("a", 2), hit("c", 2)}, 0, false},
		"an id twice":              {three, []similarity.Hit{hit("a", 1), hit("b", 2), hit("b", 2)}, 0, false},
		"an id twice in the First": {[]similarity.Hit{hit("a", 1), hit("b", 2), hit("b", 2)}, three, 0, false},
		"NaN":                      {three[:1], []similarity.Hit{hit("a", math.NaN())}, 0, false},
	} {
		s := &similarity.Shadow{First: says(c.first...), Second: says(c.second...), Tolerance: c.tolerance}
		if _, err := s.Nearest(t.Context(), []vector.Vector{at(1, 2)}, 3); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.Stats(); got.Agreed+got.Disagreed != 1 || (got.Agreed == 1) != c.agree {
			t.Errorf("%s: counted %+v", name, got)
		}
	}
}

// Queries of one call are judged one by one, refused ones too, and differences
// are told.
func TestShadowTellsDifferences(t *testing.T) {
	t.Parallel()
	no := stage.Permanent(errors.New("no"))
	answers := func(hits [][]similarity.Hit, errs ...error) finder {
		return func(context.Context, []vector.Vector, int) ([][]similarity.Hit, error) {
			return hits, &stage.BatchError{Errs: errs}
		}
	}
	queries := []vector.Vector{at(0, 1), at(0, 2), at(0, 3), at(0, 4), at(0, 5)}
	first := answers([][]similarity.Hit{{near}, {near}, nil, {near}, nil}, nil, nil, no, nil, no)
	for name, c := range map[string]struct {
		second similarity.Finder
		stats  similarity.ShadowStats
		told   []float32 // the queries
		err    string    // of the last one
	}{
		"of queries":        {answers([][]similarity.Hit{{near}, {far}, nil, nil, {near}}, nil, nil, no, no, nil), similarity.ShadowStats{Agreed: 2, Disagreed: 3}, []float32{2, 4, 5}, ""},
		"of the whole call": {finder(func(context.Context, []vector.Vector, int) ([][]similarity.Hit, error) { return nil, no }), similarity.ShadowStats{Failed: 5}, []float32{1, 2, 3, 4, 5}, "no"},
		"too few answers": {finder(func(context.Context, []vector.Vector, int) ([][]similarity.Hit, error) {
			return [][]similarity.Hit{{near}}, nil
		}), similarity.ShadowStats{Failed: 5}, []float32{1, 2, 3, 4, 5}, "1 answers to 5 queries"},
		"a panic": {finder(func(context.Context, []vector.Vector, int) ([][]similarity.Hit, error) { panic("oh") }), similarity.ShadowStats{Failed: 5}, []float32{1, 2, 3, 4, 5}, "panicked: oh"},
	} {
		var mu sync.Mutex
		var told []similarity.Difference
		s := &similarity.Shadow{First: first, Second: c.second, Differ: func(d similarity.Difference) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, d)
		}}
		if _, err := s.Nearest(t.Context(), queries, 1); err == nil {
			t.Fatal("the First's error is gone")
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		stats(t, s, c.stats)
		var which []float32
		for _, d := range told {
			which = append(which, d.Query.Values[1])
			if d.K != 1 || d.CallFailed != (c.stats.Failed > 0) {
				t.Errorf("%s: told %+v", name, d)
			}
		}
		if !slices.Equal(which, c.told) {
			t.Errorf("%s: told of queries %v, want %v", name, which, c.told)
		}
		if last := told[len(told)-1]; !errors.Is(last.FirstErr, no) || (c.err == "") != (last.SecondErr == nil) || last.SecondErr != nil && !strings.Contains(last.SecondErr.Error(), c.err) {
			t.Errorf("%s: the last one is %+v", name, last)
		}
	}
}

// With nothing to compare, nothing is.
func TestShadowOfNothing(t *testing.T) {
	t.Parallel()
	var zero similarity.Shadow
	if _, err := zero.Nearest(t.Context(), []vector.Vector{at(1, 2)}, 1); err == nil || !strings.Contains(err.Error(), "without a First") {
		t.Errorf("a zero Shadow: %v", err)
	}
	never := finder(func(context.Context, []vector.Vector, int) ([][]similarity.Hit, error) {
		t.Error("the Second was asked")
		return nil, nil
	})
	broken := &similarity.Shadow{Second: never, First: finder(func(context.Context, []vector.Vector, int) ([][]similarity.Hit, error) {
		return nil, errors.New("away")
	})}
	if _, err := broken.Nearest(t.Context(), []vector.Vector{at(1, 2)}, 1); err == nil || err.Error() != "away" {
		t.Errorf("a First that failed: %v", err)
	}
	empty := &similarity.Shadow{First: says(near), Second: never}
	if hits, err := empty.Nearest(t.Context(), nil, 1); err != nil || len(hits) != 0 {
		t.Errorf("no queries: %v, %v", hits, err)
	}
	for _, s := range []*similarity.Shadow{&zero, broken, empty} {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		stats(t, s, similarity.ShadowStats{})
	}
}

// Many at once, with the race detector: every query is counted once.
func TestShadowCountsEachQueryOnce(t *testing.T) {
	t.Parallel()
	s := &similarity.Shadow{First: says(near), Second: says(near), MaxInFlight: 3}
	const callers, calls, each = 8, 50, 3
	var asking sync.WaitGroup
	for range callers {
		asking.Go(func() {
			for range calls {
				if _, err := s.Nearest(t.Context(), []vector.Vector{at(0, 1), at(0, 2), at(0, 3)}, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	asking.Wait()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := s.Stats(); n.Agreed+n.Dropped != callers*calls*each || n.Agreed == 0 || n.Failed+n.Disagreed != 0 {
		t.Errorf("%+v", n)
	}
}
