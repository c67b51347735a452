package similarity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// Spaces is a [Finder] over several, one a space: while a model is replaced,
// vectors of the old one are still under way, and find the old items. Build the
// new model's collection, Put it, switch the model, and Drop the old space when
// nothing of it comes any more. A search sees each Finder whole, the one that
// was there when it began.
//
// The zero Spaces has none. It is safe for concurrent use.
type Spaces struct {
	mu      sync.RWMutex
	finders map[string]Finder
}

// Put has f answer the queries of the space, in place of the Finder that did.
func (s *Spaces) Put(space string, f Finder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finders == nil {
		s.finders = make(map[string]Finder)
	}
	s.finders[space] = f
}

// Drop forgets the space's Finder. Queries of the space fail from now on.
func (s *Spaces) Drop(space string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.finders, space)
}

// now is what is there.
func (s *Spaces) now() map[string]Finder {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.finders)
}

// Nearest implements [Finder]: the queries of each space go to its Finder, in
// one call. A query of a space that has none fails, permanently.
func (s *Spaces) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("similarity: %w", err)
	}
	finders := s.now()
	var order []string
	at := make(map[string][]int) // of each space, its queries
	for i, q := range queries {
		if at[q.Space] == nil {
			order = append(order, q.Space)
		}
		at[q.Space] = append(at[q.Space], i)
	}
	if k < 1 {
		return FindValid(nil, k, nil, nil) // the error that all have
	}
	hits := make([][]Hit, len(queries))
	errs := make([]error, len(queries))
	for _, space := range order {
		f := finders[space]
		if f == nil {
			for _, i := range at[space] {
				err := queries[i].Check()
				if err == nil {
					err = unknownSpace(space, finders)
				}
				errs[i] = stage.Permanent(fmt.Errorf("similarity: query %d: %w", i, err))
			}
			continue
		}
		mine := make([]vector.Vector, len(at[space]))
		for j, i := range at[space] {
			mine[j] = queries[i]
		}
		found, err := f.Nearest(ctx, mine, k)
		batch, partly := errors.AsType[*stage.BatchError](err)
		if err != nil && (!partly || len(batch.Errs) != len(mine)) {
			return nil, err
		}
		if len(found) != len(mine) {
			return nil, stage.Permanent(fmt.Errorf("similarity: the Finder of space %q gave %d answers to %d queries", space, len(found), len(mine)))
		}
		for j, i := range at[space] {
			hits[i] = found[j]
			if partly {
				errs[i] = batch.Errs[j]
			}
		}
	}
	if slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		return hits, &stage.BatchError{Errs: errs}
	}
	return hits, nil
}

// Add implements [Collection]: each item goes to the collection of its space,
// and all of that space, or none.
func (s *Spaces) Add(items ...Item) error {
	finders := s.now()
	bySpace := make(map[string][]Item)
	for i, it := range items {
		if _, ok := finders[it.Vector.Space].(Collection); !ok {
			return stage.Permanent(fmt.Errorf("similarity: item %d: id %q: %w", i, it.ID, unknownSpace(it.Vector.Space, finders)))
		}
		bySpace[it.Vector.Space] = append(bySpace[it.Vector.Space], it)
	}
	for _, space := range slices.Sorted(maps.Keys(bySpace)) {
		if err := finders[space].(Collection).Add(bySpace[space]...); err != nil {
			return err
		}
	}
	return nil
}

// Delete implements [Collection]: the ids go from all spaces.
func (s *Spaces) Delete(ids ...string) error {
	finders := s.now()
	for _, space := range slices.Sorted(maps.Keys(finders)) {
		if c, ok := finders[space].(Collection); ok {
			if err := c.Delete(ids...); err != nil {
				return err
			}
		}
	}
	return nil
}

func unknownSpace(space string, finders map[string]Finder) error {
	if len(finders) == 0 {
		return fmt.Errorf("nothing holds space %q, nor any other: Put a Finder of it first", space)
	}
	// One that is there is named, by the error that other Finders give.
	known := slices.Sorted(maps.Keys(finders))
	if len(known) == 1 {
		return &vector.SpaceError{Got: space, Want: known[0]}
	}
	return fmt.Errorf("nothing holds space %q; there are %q: Put a Finder of it first, or it was dropped too early", space, known)
}
