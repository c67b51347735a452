package similarity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
)

// IVF is an approximate [Finder], an inverted file: it sorts its items into
// lists of near ones, and searches only the lists whose middles are nearest to
// a query. It is for a million items and more, where an exact scan takes too
// long; with fewer, an [Index] is simpler, and misses nothing.
//
// Until [IVF.Train] there is one list, and answers are exact. Add some items that
// are as the others will be, Train, and Add the rest. What is found has its true
// distance, in the order of an Index, and k are found if there are so many; but
// something nearer may be missing. [IVF.Recall] tells how much is, and [IVF.Tune]
// searches so many lists as it takes to find what is wanted.
//
// The zero IVF is empty and Euclidean. It is safe for concurrent use, as an Index
// is. Memory is that of an Index, and about a tenth besides.
type IVF struct {
	layout layout
	table  table
}

// listRows is the most rows of an IVF's segment, of which it has many.
const listRows = 8 * simd.Block

// coarse are the lists' middles. It is never changed.
type coarse struct {
	middles *Index // ids are the lists' numbers
	probes  int    // how many lists a search looks into
}

// NewIVF returns an empty, untrained IVF by the given metric. [InnerProduct] is
// refused: the items of largest product need not be near each other.
func NewIVF(metric Metric, options ...Option) (*IVF, error) {
	if metric == InnerProduct {
		return nil, errors.New("similarity: IVF: items of a large inner product need not be near each other, so that lists do not help: use an Index, or Cosine if all vectors have length 1")
	}
	if metric > InnerProduct {
		return nil, metric.unknown()
	}
	return &IVF{layout: newLayout(metric, options)}, nil
}

// Metric is what it measures by.
func (x *IVF) Metric() Metric { return x.layout.metric }

// Len is the number of items.
func (x *IVF) Len() int { return x.table.snapshot().live }

// Space is the items' space, empty before the first one.
func (x *IVF) Space() string { return x.table.snapshot().space }

// Dim is the number of values of each item, 0 before the first one.
func (x *IVF) Dim() int { return x.table.snapshot().dim }

// Lists is the number of lists; 1 is untrained.
func (x *IVF) Lists() int { return x.table.snapshot().lists() }

// Probes is how many lists are searched for a query.
func (x *IVF) Probes() int { return x.table.snapshot().probes() }

func (s *snapshot) lists() int {
	if s.coarse == nil {
		return 1
	}
	return s.coarse.middles.Len()
}

func (s *snapshot) probes() int {
	if s.coarse == nil {
		return 1
	}
	return min(s.coarse.probes, s.lists())
}

// SetProbes has so many lists be searched from now on, at least 1. As many as
// there are make the answers exact. It does nothing before Train.
func (x *IVF) SetProbes(n int) {
	x.table.mu.Lock()
	defer x.table.mu.Unlock()
	if c := x.table.next.coarse; c != nil {
		x.table.next.coarse = &coarse{c.middles, max(1, n)}
		x.table.publish(x.layout)
	}
}

// Add implements [Collection], as [Index.Add] does: each item goes into the list
// with the nearest middle.
func (x *IVF) Add(items ...Item) error {
	if len(items) == 0 {
		return nil
	}
	x.table.mu.Lock()
	defer x.table.mu.Unlock()
	if err := x.table.checkItems(x.layout.metric, items); err != nil {
		return err
	}
	e := listed{layout: x.layout}
	if c := x.table.next.coarse; c != nil && x.table.next.live > 0 {
		vectors := make([]vector.Vector, len(items))
		for i, it := range items {
			vectors[i] = it.Vector
		}
		var err error
		if e.lists, err = c.assign(context.Background(), vectors); err != nil {
			return err
		}
	}
	x.table.add(&e, items)
	return nil
}

// Delete implements [Collection]. When all items are gone, the lists are too.
func (x *IVF) Delete(ids ...string) error {
	x.table.mu.Lock()
	defer x.table.mu.Unlock()
	x.table.delete(x.layout, ids)
	return nil
}

// listed is an encoder of rows whose lists are known.
type listed struct {
	layout
	lists []int // of the rows to come; none is list 0
}

func (e *listed) encode(values []float32) row {
	r := e.layout.encode(values)
	if len(e.lists) > 0 {
		r.list, e.lists = e.lists[0], e.lists[1:]
	}
	return r
}

// assignBatch is how many vectors are compared with the middles at a time.
const assignBatch = 512

// assign returns the list of each vector.
func (c *coarse) assign(ctx context.Context, vectors []vector.Vector) ([]int, error) {
	lists := make([]int, 0, len(vectors))
	for some := range slices.Chunk(vectors, assignBatch) {
		near, err := c.nearest(ctx, some, 1)
		if err != nil {
			return nil, err
		}
		for _, l := range near {
			lists = append(lists, l[0])
		}
	}
	return lists, nil
}

// nearest returns the lists with the n nearest middles to each vector, nearest
// first.
func (c *coarse) nearest(ctx context.Context, vectors []vector.Vector, n int) ([][]int, error) {
	hits, err := c.middles.layout.find(ctx, c.middles.table.snapshot(), vectors, nearestGoal(n))
	if err != nil {
		return nil, err
	}
	lists := make([][]int, len(hits))
	for i, answer := range hits {
		for _, h := range answer {
			list, err := strconv.Atoi(h.ID)
			if err != nil {
				return nil, fmt.Errorf("similarity: IVF: %w", err)
			}
			lists[i] = append(lists[i], list)
		}
	}
	return lists, nil
}

// Nearest implements [Finder], approximately. More lists are searched where the
// nearest ones have fewer than k items.
func (x *IVF) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error) {
	return x.Where(nil).Nearest(ctx, queries, k)
}

// Where is the IVF without the items whose ids keep refuses, as [Index.Where] is.
// Where it keeps few, more lists are searched, all if it must be.
func (x *IVF) Where(keep func(id string) bool) Finder { return kept{x, keep} }

type kept struct {
	x    *IVF
	keep func(id string) bool
}

func (s kept) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error) {
	x := s.x
	now := x.table.snapshot()
	if err := ready(ctx, x.layout.metric); err != nil {
		return nil, err
	}
	want := nearestGoal(k)
	want.keep, want.crew = s.keep, &x.table.crew
	return FindValid(queries, k, checkQuery(x.layout.metric, now), func(valid []vector.Vector) ([][]Hit, error) {
		return x.layout.probe(ctx, now, valid, want, now.probes())
	})
}

// probe answers valid queries from the nearest lists of each.
func (l layout) probe(ctx context.Context, now *snapshot, valid []vector.Vector, want goal, probes int) ([][]Hit, error) {
	if probes >= now.lists() {
		return l.find(ctx, now, valid, want)
	}
	near, err := now.coarse.nearest(ctx, valid, probes)
	if err != nil {
		return nil, err
	}
	want.k = min(want.k, now.live)
	job := scan{goal: want, snapshot: now, bound: l.bound(now.dim)}
	job.prepare(valid, l.queries(len(valid)))
	members := make([][]int, now.lists()) // of each list
	rank := make([]int, now.lists())      // the best that a list has among a query's
	for i, lists := range near {
		for r, list := range lists {
			if members[list] == nil || r < rank[list] {
				rank[list] = r
			}
			members[list] = append(members[list], i)
		}
	}
	pairs := 0
	for i := range now.views {
		v := &now.views[i]
		if m := members[v.list]; m != nil && v.rows > 0 {
			job.units = append(job.units, unit{view: i, end: v.blocks(), members: m})
			pairs += v.blocks() * len(m)
		}
	}
	job.workers = job.worth(pairs)
	slices.SortStableFunc(job.units, func(a, b unit) int { // what is near soon rules out what is far
		return cmp.Compare(rank[now.views[a.view].list], rank[now.views[b.view].list])
	})
	answers, err := job.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("similarity: %w", err)
	}
	hits := hitsOf(answers)
	var short []vector.Vector
	var at []int
	for i, h := range hits {
		if len(h) < want.k {
			short, at = append(short, valid[i]), append(at, i)
		}
	}
	if len(short) == 0 {
		return hits, nil
	}
	more, err := l.probe(ctx, now, short, want, 2*probes)
	for j, h := range more {
		hits[at[j]] = h
	}
	return hits, err
}
