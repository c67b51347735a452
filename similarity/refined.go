package similarity

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// Refined is an exact [Finder] that scans short rows and measures few long
// ones: it keeps each item's projection beside its values, and as that bounds
// the distance from below, most items are proved to be none of the k nearest
// without a look at their values. The answers are those of an [Index] over the
// same items, to the last bit. It takes the whole vectors, not what the
// projection makes of them.
//
// How many values it has to measure depends on the projection: take one with
// so many components that they are few ([Refined.Search] tells). [InnerProduct]
// has no such bound.
//
// It is safe for concurrent use, as an Index is; the zero Refined has no
// projection, and refuses all. Memory is 4 bytes a value, of the vector and of
// its projection; [Quantized], a value of the projection is one byte. That is faster
// for one query at a time, if the projection's mean is that of the
// vectors (by Cosine, of the vectors made as long as 1): what is left of them
// has no value much larger than the others then.
//
// For many queries in one call an Index is faster: it shares each row that it
// loads, and here each query measures rows of its own.
type Refined struct {
	metric    Metric
	space     string
	projector *projector
	bound     bound
	table     table
}

// NewRefined returns an empty Refined by the given metric, for vectors of the
// projection's input space. A projection that is not orthonormal, one that
// whitens for instance, is refused.
func NewRefined(metric Metric, p Projection, options ...Option) (*Refined, error) {
	if metric == InnerProduct {
		return nil, errors.New("similarity: Refined: the inner product has no bound by a projection: use an Index, or Cosine if all vectors have length 1")
	}
	if metric > InnerProduct {
		return nil, metric.unknown()
	}
	e, err := newProjector(metric, p)
	if err != nil {
		return nil, fmt.Errorf("similarity: Refined: %w", err)
	}
	return makeRefined(metric, p.InputSpace(), e, options), nil
}

func makeRefined(metric Metric, space string, e *projector, options []Option) *Refined {
	e.quantized = newLayout(metric, options).quantized
	return &Refined{metric: metric, space: space, projector: e, bound: e.bound()}
}

// Metric is what it measures by.
func (x *Refined) Metric() Metric { return x.metric }

// Space is that of the items and queries: the projection's input space.
func (x *Refined) Space() string { return x.space }

// Len is the number of items.
func (x *Refined) Len() int { return x.table.snapshot().live }

var errNoProjection = errors.New("similarity: a Refined without a projection: use NewRefined")

func (x *Refined) check(v vector.Vector) error {
	if x.projector == nil {
		return errNoProjection
	}
	return x.metric.CheckIn(v, x.space, x.projector.dim)
}

// Add implements [Collection], as [Index.Add] does.
func (x *Refined) Add(items ...Item) error {
	if len(items) == 0 {
		return nil
	}
	x.table.mu.Lock()
	defer x.table.mu.Unlock()
	for i, it := range items {
		err := x.check(it.Vector)
		if err == nil {
			err = it.CheckIn(x.metric, x.space, x.projector.dim)
		}
		if err != nil {
			return stage.Permanent(fmt.Errorf("similarity: item %d: %w", i, err))
		}
	}
	x.table.add(&batchProjector{projector: x.projector, items: items}, items)
	return nil
}

// Delete implements [Collection].
func (x *Refined) Delete(ids ...string) error {
	x.table.mu.Lock()
	defer x.table.mu.Unlock()
	x.table.delete(x.projector, ids)
	return nil
}

// Nearest implements [Finder].
func (x *Refined) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error) {
	hits, _, err := x.Search(ctx, queries, k, 0)
	return hits, err
}

// Bounded is a Finder that measures at most so many items a query, or k if
// that is more: see [Refined.Search].
func (x *Refined) Bounded(items int) Finder { return bounded{x, max(1, items)} }

type bounded struct {
	x     *Refined
	items int
}

func (b bounded) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error) {
	hits, _, err := b.x.Search(ctx, queries, k, b.items)
	return hits, err
}

// Work is what an answer took.
type Work struct {
	// Measured is how many items' whole vectors were compared.
	Measured int
	// Proved says that the answer is the exact one. Without a limit it is.
	Proved bool
}

// Search is Nearest, and tells how much work each answer took; of queries that
// failed that is zero. If limit is above 0, at most so many items a query, or k
// if that is more, are measured: those that the scan cannot prove to be as far as the others. What is found then has its true
// distance, but something nearer may be missing, unless the Work says that it
// is proved.
func (x *Refined) Search(ctx context.Context, queries []vector.Vector, k, limit int) ([][]Hit, []Work, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("similarity: %w", err)
	}
	now := x.table.snapshot()
	var answers []answer
	hits, err := FindValid(queries, k, x.check, func(valid []vector.Vector) ([][]Hit, error) {
		if now.live == 0 {
			answers = make([]answer, len(valid))
			return make([][]Hit, len(valid)), nil
		}
		job := scan{goal: nearestGoal(min(k, now.live)), snapshot: now, bound: x.bound}
		job.crew = &x.table.crew
		job.prepare(valid, x.projector.queries(len(valid)))
		if limit > 0 {
			job.budget = max(limit, job.k)
		}
		job.divide()
		var err error
		if answers, err = job.run(ctx); err != nil {
			return nil, fmt.Errorf("similarity: %w", err)
		}
		return hitsOf(answers), nil
	})
	batch, _ := errors.AsType[*stage.BatchError](err)
	if err != nil && batch == nil {
		return nil, nil, err
	}
	work := make([]Work, len(queries))
	for i := range queries {
		if batch == nil || batch.Errs[i] == nil {
			work[i] = Work{answers[0].refined, answers[0].proved || now.live == 0}
			answers = answers[1:]
		}
	}
	return hits, work, err
}
