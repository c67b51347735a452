package similarity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// Recall is how much of the k nearest items is found.
type Recall struct {
	// Value is the part of the exact answers' hits that are found, from 0 to 1,
	// or others just as near; Margin is two standard errors of it, for queries
	// of the same kind.
	Value, Margin float64
	// K and Queries are how many hits were asked for, and how often.
	K, Queries int
	// Probes of Lists were searched for each query.
	Probes, Lists int
}

// String is one line for a log.
func (r Recall) String() string {
	return fmt.Sprintf("recall@%d %.4f ± %.4f over %d queries, %d of %d lists searched", r.K, r.Value, r.Margin, r.Queries, r.Probes, r.Lists)
}

// checkQueries is how many items are asked for by themselves when there are no
// queries.
const checkQueries = 256

// Recall holds answers against those of an exact scan. Without queries, some of
// the items are asked for, and not counted as their own neighbours; give real
// queries where those are of another kind than the items. It does not see what
// is added or deleted meanwhile, and takes as long as an exact scan does.
func (x *IVF) Recall(ctx context.Context, queries []vector.Vector, k int) (Recall, error) {
	now := x.table.snapshot()
	c, err := x.newCheck(ctx, now, queries, k)
	if err != nil {
		return Recall{}, err
	}
	return c.recall(ctx, now.probes())
}

// Tune searches, from now on, as few lists as find the part want of the k
// nearest, less the margin, and tells how many that are: see [IVF.Recall] for
// the queries. A want of 1 asks for all that the queries can tell.
func (x *IVF) Tune(ctx context.Context, queries []vector.Vector, k int, want float64) (Recall, error) {
	if !(want > 0 && want <= 1) {
		return Recall{}, stage.Permanent(fmt.Errorf("similarity: IVF: a recall of %v is wanted: ask for more than 0, and at most 1", want))
	}
	c, err := x.newCheck(ctx, x.table.snapshot(), queries, k)
	if err != nil {
		return Recall{}, err
	}
	r, err := c.tune(ctx, want)
	if err == nil {
		x.SetProbes(r.Probes)
	}
	return r, err
}

// check knows the exact answers to some queries.
type check struct {
	layout  layout
	now     *snapshot
	k       int
	queries []Item // without an id, if they are not of the items
	exact   [][]Hit
}

func (x *IVF) newCheck(ctx context.Context, now *snapshot, queries []vector.Vector, k int) (*check, error) {
	c := &check{layout: x.layout, now: now, k: k}
	if k < 1 {
		return nil, stage.Permanent(fmt.Errorf("similarity: k is %d: ask for at least 1 neighbour", k))
	}
	if now.live < 2 {
		return nil, errors.New("similarity: IVF: there are no items to find: Add some first")
	}
	for i, q := range queries {
		if err := checkQuery(x.layout.metric, now)(q); err != nil {
			return nil, stage.Permanent(fmt.Errorf("similarity: query %d: %w", i, err))
		}
		c.queries = append(c.queries, Item{Vector: q})
	}
	if len(queries) == 0 {
		c.queries = now.sample(checkQueries)
	}
	var err error
	c.exact, err = c.answers(ctx, now.lists())
	return c, err
}

// answers are those of a search of so many lists.
func (c *check) answers(ctx context.Context, probes int) ([][]Hit, error) {
	vectors := make([]vector.Vector, len(c.queries))
	for i, q := range c.queries {
		vectors[i] = q.Vector
	}
	hits, err := c.layout.probe(ctx, c.now, vectors, nearestGoal(c.k+1), probes) // one may be the query itself
	for i := range hits {
		hits[i] = slices.DeleteFunc(hits[i], func(h Hit) bool { return h.ID == c.queries[i].ID })
		hits[i] = hits[i][:min(c.k, len(hits[i]))]
	}
	return hits, err
}

func (c *check) recall(ctx context.Context, probes int) (Recall, error) {
	r := Recall{K: c.k, Queries: len(c.queries), Probes: probes, Lists: c.now.lists()}
	hits, err := c.answers(ctx, probes)
	if err != nil {
		return Recall{}, err
	}
	squares := 0.0
	for i, exact := range c.exact {
		found := 0
		for _, h := range hits[i] {
			if h.Distance <= exact[len(exact)-1].Distance {
				found++
			}
		}
		part := float64(found) / float64(len(exact))
		r.Value += part
		squares += part * part
	}
	n := float64(len(c.exact))
	r.Value /= n
	r.Margin = 2 * math.Sqrt(max(squares/n-r.Value*r.Value, 0)/n)
	return r, nil
}

// tune finds how few lists are enough: more never find less.
func (c *check) tune(ctx context.Context, want float64) (Recall, error) {
	low, high := 0, 1 // low is not enough
	var best Recall
	for {
		r, err := c.recall(ctx, high)
		if err != nil {
			return Recall{}, err
		}
		if best = r; r.Value-r.Margin >= want || high == r.Lists {
			break
		}
		low, high = high, min(2*high, r.Lists)
	}
	for high-low > 1 {
		middle := (low + high) / 2
		r, err := c.recall(ctx, middle)
		if err != nil {
			return Recall{}, err
		}
		if r.Value-r.Margin >= want {
			best, high = r, middle
		} else {
			low = middle
		}
	}
	return best, nil
}
