package main

import (
	"context"
	"math"
	"time"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
	"github.com/millrace-go/millrace/similarity"
)

// approximateFrom is from how many rows on IVFs are measured.
const approximateFrom = 100_000

// approximate is how long a search of an IVF takes, milliseconds a query, and how
// much it finds of the 1,000 queries' nearest.
type approximate struct {
	seconds       float64 // to train
	single, batch float64
	recall        similarity.Recall
}

// approximate measures an IVF with so many rows, at its defaults: it is trained
// with the first ones, and then given the others.
func (b *bench) approximate(ctx context.Context, g *generator, rows int) (*approximate, error) {
	ivf, err := similarity.NewIVF(similarity.Euclidean)
	if err != nil {
		return nil, err
	}
	var a approximate
	for n := 0; n < rows; n = ivf.Len() {
		if err := ivf.Add(g.items(2, n, min(growthPart, rows-n))...); err != nil { //nolint:contextcheck // a Collection's Add takes none
			return nil, err
		}
		if ivf.Lists() == 1 {
			begin := time.Now()
			if err := ivf.Train(ctx, int(2*math.Sqrt(float64(rows)))); err != nil {
				return nil, err
			}
			a.seconds = time.Since(begin).Seconds()
		}
	}
	if a.single, _, err = b.ours(ctx, ivf, 1); err != nil {
		return nil, err
	}
	if a.batch, _, err = b.ours(ctx, ivf, 64); err != nil {
		return nil, err
	}
	a.recall, err = ivf.Recall(ctx, b.queries, neighbours)
	return &a, err
}

func (a *approximate) results(name string) []results.Row {
	if a == nil {
		return nil
	}
	return []results.Row{
		{Case: name + " approximate single", System: plainIndex, Metric: "ms/query", Value: a.single, Better: "lower"},
		{Case: name + " approximate batch 64", System: plainIndex, Metric: "ms/query", Value: a.batch, Better: "lower"},
		{Case: name + " approximate recall@10", System: plainIndex, Metric: "part found", Value: a.recall.Value, Better: "higher"},
	}
}

// approximate is the table of what was measured of IVFs.
func (r *report) approximate(p func(string, ...any)) {
	p("\nmillrace, approximate, at its defaults: the inverted file with the same rows.\n\n| rows | lists searched | recall@%d of %d new queries | single, ms | times as fast as exact | batches of 64, ms a query | times as fast as exact | s to train |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n", neighbours, queries)
	for _, g := range r.growth {
		if a := g.approximate; a != nil {
			p("| %d | %d of %d | %.4f ± %.4f | %.4f | %.1f | %.4f | %.1f | %.1f |\n", g.rows, a.recall.Probes, a.recall.Lists, a.recall.Value, a.recall.Margin, a.single, g.single/a.single, a.batch, g.batch/a.batch, a.seconds)
		}
	}
}
