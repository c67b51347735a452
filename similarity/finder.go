package similarity

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// Item is a vector with the id that a [Hit] gives back: not empty, UTF-8.
type Item struct {
	ID     string
	Vector vector.Vector
}

// CheckIn tells what is wrong with the item for a collection of the given
// metric, space and dimension: its id, or what [Metric.CheckIn] finds. It
// returns nil if nothing is.
func (it Item) CheckIn(metric Metric, space string, dim int) error {
	var err error
	switch {
	case it.ID == "":
		err = errors.New("no id")
	case !utf8.ValidString(it.ID):
		err = errors.New("the id is not UTF-8")
	default:
		err = metric.CheckIn(it.Vector, space, dim)
	}
	if err != nil {
		return fmt.Errorf("id %q: %w", it.ID, err)
	}
	return nil
}

// Hit is an item found: its id and how far it is from the query.
type Hit struct {
	ID       string  `json:"id"`
	Distance float64 `json:"distance"`
}

// Finder finds nearest items. It is safe for concurrent use.
type Finder interface {
	// Nearest returns one []Hit a query, in the queries' order: the k nearest
	// items, or all if there are fewer, nearest first, equal distances by id.
	// No queries give no answers. A k below 1 is an error.
	//
	// A query that cannot be answered, for its own fault (another space or
	// dimension than the items', NaN, infinite, or, by cosine, all zeros), does not
	// fail the others: the error is then a *stage.BatchError, as from a
	// stage.Transform, and the answers with a nil error in it count. Such
	// faults are stage.Permanent.
	Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error)
}

// Nearest makes f a stage's transform, to the k nearest items of each vector.
// A k below 1 fails every batch.
func Nearest(f Finder, k int) stage.Transform[vector.Vector, []Hit] {
	return stage.TransformFunc[vector.Vector, []Hit](func(ctx context.Context, in []vector.Vector) ([][]Hit, error) {
		return f.Nearest(ctx, in, k)
	})
}

// FindValid does for a Finder what all of them have in common: it refuses a k
// below 1, asks check about each query, has find answer those without an error,
// in one call, and puts its answers where they belong; the errors of check
// come as the Finder's contract says. If all queries are bad, or there are
// none, find is not called.
func FindValid(queries []vector.Vector, k int, check func(vector.Vector) error, find func(valid []vector.Vector) ([][]Hit, error)) ([][]Hit, error) {
	if k < 1 {
		return nil, stage.Permanent(fmt.Errorf("similarity: k is %d: ask for at least 1 neighbour", k))
	}
	var (
		valid  []vector.Vector
		at     []int
		errs   = make([]error, len(queries))
		failed bool
	)
	for i, q := range queries {
		if err := check(q); err != nil {
			errs[i] = stage.Permanent(fmt.Errorf("similarity: query %d: %w", i, err))
			failed = true
			continue
		}
		valid = append(valid, q)
		at = append(at, i)
	}
	hits := make([][]Hit, len(queries))
	if len(valid) > 0 {
		found, err := find(valid)
		if err != nil {
			return nil, err
		}
		if len(found) != len(valid) {
			return nil, stage.Permanent(errors.New("similarity: the Finder gave another number of answers than queries"))
		}
		for j, i := range at {
			hits[i] = found[j]
		}
	}
	if failed {
		return hits, &stage.BatchError{Errs: errs}
	}
	return hits, nil
}
