package bigquery

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// Cost is what a query reads, and what of that is paid for on demand.
type Cost struct {
	Processed int64 // bytes
	Billed    int64 // bytes: whole MiB, at least 10 of them
}

// Dollars is the cost at a price for a TiB, which BigQuery's price list has by
// region.
func (c Cost) Dollars(perTiB float64) float64 { return float64(c.Billed) / (1 << 40) * perTiB }

// CostOf is what one query over a table of these items costs, by the sizes that
// BigQuery documents: 8 bytes a value, and 2 more than its own bytes a text.
// [Finder.Estimate] asks BigQuery itself.
func CostOf(items []similarity.Item) Cost {
	bytes := 0
	for _, it := range items {
		bytes += 2 + len(it.ID) + 2 + len(it.Vector.Space) + 8*len(it.Vector.Values)
	}
	return newCost(int64(bytes))
}

// newCost rounds as BigQuery bills a query of one table.
func newCost(processed int64) Cost {
	const mib = 1 << 20
	return Cost{processed, max(10, (processed+mib-1)/mib) * mib}
}

// Estimate is what BigQuery expects one query about that many vectors to cost,
// by a dry run, which costs nothing. More vectors than go into one query are an
// error. Of a clustered table the estimate is an upper bound.
func (f *Finder) Estimate(ctx context.Context, vectors, k int) (Cost, error) {
	if f.dim == 0 {
		return Cost{}, nil // nothing is asked
	}
	if vectors < 1 || vectors > f.batch || k < 1 {
		return Cost{}, fmt.Errorf("bigquery: estimate for %d vectors and %d neighbours: from 1 to %d vectors go into one query, and 1 neighbour is the least", vectors, k, f.batch)
	}
	values := make([]float32, f.dim)
	for i := range values {
		values[i] = 1
	}
	queries := make([]vector.Vector, vectors)
	for i := range queries {
		queries[i] = vector.Vector{Space: f.space, Values: values}
	}
	ctx, cancel := context.WithTimeout(ctx, f.table.Timeout)
	defer cancel()
	question := f.question(queries, int64(k))
	q := f.table.Client.Query(question.sql)
	q.Parameters, q.DryRun = question.params, true
	job, err := q.Run(ctx)
	if err == nil {
		err = failure(job)
	}
	if err != nil {
		return Cost{}, fmt.Errorf("bigquery: estimate for %v: %w", f.table, explain(err))
	}
	status := job.LastStatus()
	if status == nil || status.Statistics == nil {
		return Cost{}, errors.New("bigquery: a dry run without statistics")
	}
	return newCost(status.Statistics.TotalBytesProcessed), nil
}
