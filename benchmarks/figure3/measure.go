package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

type bench struct {
	*options
	*data
	stores *stores
	errs   io.Writer
	truth  [][]similarity.Hit // by all dimensions
}

// report is all that was measured.
type report struct {
	options
	what  string
	load  string
	count int
	cases []*size
}

// size is what was measured at one number of dimensions.
type size struct {
	dim    int
	full   bool
	ms     map[string][][]float64 // of each system's questions, turn by turn
	first  float64                // part of the questions whose nearest is the true one
	recall float64                // part of the true nearest that are found
}

func newBench(ctx context.Context, o *options, d *data, errs io.Writer) (*bench, error) {
	s, err := startStores(ctx)
	if err != nil {
		return nil, err
	}
	return &bench{options: o, data: d, stores: s, errs: errs}, nil
}

func (b *bench) close() error { return b.stores.close() }

func (b *bench) log(format string, args ...any) { _, _ = fmt.Fprintf(b.errs, format+"\n", args...) }

func (b *bench) measure(ctx context.Context) (*report, error) {
	r := &report{options: *b.options, what: b.what, count: len(b.items)}
	// The truth comes first; the table begins with the fewest dimensions.
	whole, err := b.size(ctx, b.items, b.data.questions)
	if err != nil {
		return nil, err
	}
	whole.full = true
	for _, n := range b.sizes {
		pca, err := b.pca.Truncate(n)
		if err != nil {
			return nil, err
		}
		items, questions, err := reduced(ctx, pca, b.items, b.data.questions)
		if err != nil {
			return nil, err
		}
		s, err := b.size(ctx, items, questions)
		if err != nil {
			return nil, fmt.Errorf("%d dimensions: %w", n, err)
		}
		r.cases = append(r.cases, s)
	}
	r.cases = append(r.cases, whole)
	return r, nil
}

func reduced(ctx context.Context, pca stage.Transform[vector.Vector, vector.Vector], items []similarity.Item, questions []vector.Vector) ([]similarity.Item, []vector.Vector, error) {
	long := make([]vector.Vector, len(items))
	for i, it := range items {
		long[i] = it.Vector
	}
	short, err1 := pca.Transform(ctx, long)
	asked, err2 := pca.Transform(ctx, questions)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	made := make([]similarity.Item, len(items))
	for i, it := range items {
		made[i] = similarity.Item{ID: it.ID, Vector: short[i]}
	}
	return made, asked, nil
}

// size measures all systems, by turns.
func (b *bench) size(ctx context.Context, items []similarity.Item, questions []vector.Vector) (*size, error) {
	finders, err := b.stores.open(ctx, items, b.log)
	if err != nil {
		return nil, err
	}
	found, err := finders[inProcess].Nearest(ctx, questions, neighbours)
	if err != nil {
		return nil, err
	}
	if b.truth == nil {
		b.truth = found
	}
	s := &size{dim: len(items[0].Vector.Values), ms: map[string][][]float64{}}
	s.first, s.recall = kept(found, b.truth)
	for _, name := range systems() { // each is warm then, and right
		got, err := finders[name].Nearest(ctx, questions[:1], neighbours)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := same(got[0], found[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for turn := range b.rounds {
		for _, name := range systems() {
			ms := make([]float64, b.options.questions)
			for i := range ms {
				begin := time.Now()
				at := (turn*len(ms) + i) % len(questions)
				if _, err := finders[name].Nearest(ctx, questions[at:at+1], neighbours); err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				ms[i] = time.Since(begin).Seconds() * 1e3
			}
			s.ms[name] = append(s.ms[name], ms)
		}
		b.log("%d dimensions: turn %d of %d", s.dim, turn+1, b.rounds)
	}
	return s, nil
}

// same holds a system's answer against the index's. Sums in another order may
// swap rows that are equally near, but for the last digits.
func same(got, want []similarity.Hit) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d hits, want %d", len(got), len(want))
	}
	for i := range got {
		if math.Abs(got[i].Distance-want[i].Distance) > 1e-6 || got[i].ID != want[i].ID && math.Abs(got[i].Distance-want[i].Distance) > 1e-12 {
			return fmt.Errorf("hit %d is %v, want %v", i, got[i], want[i])
		}
	}
	return nil
}

// kept is how much of the truth was found.
func kept(found, truth [][]similarity.Hit) (first, recall float64) {
	for i, hits := range found {
		if hits[0].ID == truth[i][0].ID {
			first++
		}
		ids := map[string]bool{}
		for _, h := range truth[i] {
			ids[h.ID] = true
		}
		for _, h := range hits {
			if ids[h.ID] {
				recall++
			}
		}
	}
	n := float64(len(found))
	return first / n, recall / n / neighbours
}
