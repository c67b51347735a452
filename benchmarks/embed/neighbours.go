package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// nearest is how many neighbours are compared.
const nearest = 10

// retrieval is what a search is left with of the reference's answers.
type retrieval struct {
	reference string // the system whose vectors count
	queries   int
	same      int // of them whose nearest are the same by millrace's vectors
}

// searches compares what is found by millrace's vectors with what is found by
// the reference's, sentence-transformers on torch if it is there: among all
// texts the nearest to each of the first thousand, by an exact search.
func (b *bench) searches(ctx context.Context) error {
	reference, own := b.systems[0], b.systems[0]
	for _, m := range b.systems {
		switch {
		case m.name == "sentence-transformers-torch":
			reference = m
		case m.stage:
			own = m
		}
	}
	var all [2][][]float32
	for i, m := range []*measured{reference, own} {
		a, err := m.do(ctx, fmt.Sprintf("vectors %d", len(b.texts)))
		if err != nil {
			return err
		}
		all[i] = a.Vectors
	}
	b.found = retrieval{reference: reference.label, queries: min(1000, len(b.texts))}
	var err error
	if b.found.same, err = same(ctx, all[0], all[1], b.found.queries); err != nil {
		return err
	}
	if b.found.same*1000 < 999*b.found.queries {
		return fmt.Errorf("only %d of %d texts have the same %d nearest by the vectors of %s and of %s", b.found.same, b.found.queries, nearest, own.label, reference.label)
	}
	return nil
}

// same counts the first n texts whose nearest others are the same by both
// vectors.
func same(ctx context.Context, a, b [][]float32, n int) (count int, err error) {
	if len(a) != len(b) || len(a) < n {
		return 0, fmt.Errorf("%d vectors and %d of as many texts", len(a), len(b))
	}
	by := [2][][]string{}
	for i, values := range [][][]float32{a, b} {
		if by[i], err = neighbours(ctx, values, n); err != nil {
			return 0, err
		}
	}
	for i := range n {
		if slices.Equal(by[0][i], by[1][i]) {
			count++
		}
	}
	return count, nil
}

// neighbours gives the ids of the nearest others of the first n, sorted.
func neighbours(ctx context.Context, values [][]float32, n int) (all [][]string, err error) {
	x := similarity.NewIndex(similarity.Cosine)
	vectors, items := make([]vector.Vector, len(values)), make([]similarity.Item, len(values))
	for i, v := range values {
		vectors[i] = vector.Vector{Space: "texts", Values: v}
		items[i] = similarity.Item{ID: strconv.Itoa(i), Vector: vectors[i]}
	}
	if err := x.Add(items...); err != nil {
		return nil, err
	}
	hits, err := x.Nearest(ctx, vectors[:n], nearest+1)
	for i, hs := range hits {
		var ids []string
		for _, h := range hs {
			if id := h.ID; id != strconv.Itoa(i) {
				ids = append(ids, id)
			}
		}
		ids = ids[:min(nearest, len(ids))] // a text may be nearest to more than itself
		slices.Sort(ids)
		all = append(all, ids)
	}
	return all, err
}
