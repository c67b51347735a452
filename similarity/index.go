package similarity

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// Index is an exact [Finder] in memory: it compares a query with every item,
// and its answers are those of the definition in float64, to the last tie. Dot
// products in float32, with a bound of their errors, tell which few items
// need that; [Quantized] has bytes tell it. Several queries of a call share each
// item that is loaded; memory is 4 bytes a value and some 40 an item.
//
// The zero Index is empty and Euclidean. The first item fixes its space and
// dimension. It is safe for concurrent use: a search sees all of an Add or a
// Delete or nothing of it, and does not wait for them.
type Index struct {
	layout layout
	table  table
}

// NewIndex returns an empty index by the given metric.
func NewIndex(metric Metric, options ...Option) *Index {
	return &Index{layout: newLayout(metric, options)}
}

// Add puts items into the index, or none of them if one is bad: no id, a
// vector that [Metric.Check] refuses, or of another space or dimension than the
// items that are there. An item whose id is there already replaces it; of two
// with the same id the later one stays. The values are copied.
func (x *Index) Add(items ...Item) error {
	if len(items) == 0 {
		return nil
	}
	x.table.mu.Lock()
	defer x.table.mu.Unlock()
	if err := x.table.checkItems(x.layout.metric, items); err != nil {
		return err
	}
	x.table.add(x.layout, items)
	return nil
}

// Delete takes the items with these ids out of the index; those that are not
// there do not matter. When all are gone, the next item fixes space and
// dimension anew. It returns nil.
func (x *Index) Delete(ids ...string) error {
	x.table.mu.Lock()
	defer x.table.mu.Unlock()
	x.table.delete(x.layout, ids)
	return nil
}

// Metric is what the index measures by.
func (x *Index) Metric() Metric { return x.layout.metric }

// Len is the number of items.
func (x *Index) Len() int { return x.table.snapshot().live }

// Space is the items' space, empty before the first one.
func (x *Index) Space() string { return x.table.snapshot().space }

// Dim is the number of values of each item, 0 before the first one.
func (x *Index) Dim() int { return x.table.snapshot().dim }

// Nearest implements [Finder]. It stops early, with the context's error, when
// ctx is done. An empty index takes queries of any space and finds nothing.
func (x *Index) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error) {
	return x.Where(nil).Nearest(ctx, queries, k)
}

// Within returns all items of a distance of at most radius, for each query,
// else as Nearest does. A radius that is NaN is an error.
func (x *Index) Within(ctx context.Context, queries []vector.Vector, radius float64) ([][]Hit, error) {
	return x.Where(nil).Within(ctx, queries, radius)
}

// Where is the index without the items whose ids keep refuses, as if they were
// not there: a search for the k nearest finds k, if so many are kept. keep is
// called for few of the items where it keeps many, from several goroutines at
// once; nil keeps all.
func (x *Index) Where(keep func(id string) bool) *Selection {
	return &Selection{keep, func() (*Index, func(), error) { return x, func() {}, nil }}
}

// Selection is a part of an [Index], or of a [File], and a [Finder] too. It is
// safe for concurrent use, and follows what happens to the index.
type Selection struct {
	keep func(id string) bool
	hold func() (x *Index, release func(), err error)
}

// Nearest implements [Finder], as [Index.Nearest] does.
func (s *Selection) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error) {
	return s.find(ctx, queries, nearestGoal(k))
}

// Within is [Index.Within].
func (s *Selection) Within(ctx context.Context, queries []vector.Vector, radius float64) ([][]Hit, error) {
	if math.IsNaN(radius) {
		return nil, stage.Permanent(errors.New("similarity: the radius is not a number"))
	}
	return s.find(ctx, queries, withinGoal(radius))
}

func (s *Selection) find(ctx context.Context, queries []vector.Vector, want goal) ([][]Hit, error) {
	x, release, err := s.hold()
	if err != nil {
		return nil, err
	}
	defer release()
	now := x.table.snapshot()
	if err := ready(ctx, x.layout.metric); err != nil {
		return nil, err
	}
	want.keep, want.crew = s.keep, &x.table.crew
	return FindValid(queries, want.k, checkQuery(x.layout.metric, now), func(valid []vector.Vector) ([][]Hit, error) {
		return x.layout.find(ctx, now, valid, want)
	})
}

// find answers valid queries by a scan of all that is there.
func (l layout) find(ctx context.Context, now *snapshot, valid []vector.Vector, want goal) ([][]Hit, error) {
	if now.live == 0 {
		return make([][]Hit, len(valid)), nil
	}
	want.k = min(want.k, now.live)
	job := scan{goal: want, snapshot: now, bound: l.bound(now.dim)}
	job.prepare(valid, l.queries(len(valid)))
	answers, err := job.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("similarity: %w", err)
	}
	return hitsOf(answers), nil
}

func hitsOf(answers []answer) [][]Hit {
	hits := make([][]Hit, len(answers))
	for i, a := range answers {
		hits[i] = a.hits
	}
	return hits
}

// ready tells what keeps all searches from being answered.
func ready(ctx context.Context, metric Metric) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("similarity: %w", err)
	}
	if metric > InnerProduct {
		return stage.Permanent(metric.unknown())
	}
	return nil
}

// checkQuery holds queries against what is there.
func checkQuery(metric Metric, now *snapshot) func(vector.Vector) error {
	if now.live == 0 {
		return metric.Check
	}
	return func(q vector.Vector) error { return metric.CheckIn(q, now.space, now.dim) }
}
