package main

import (
	"context"
	"errors"
	"fmt"

	cloud "cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/examples/tweets/internal/corpus"
	"github.com/millrace-go/millrace/similarity/bigquery"
)

// cost tells what 1,000 questions cost on BigQuery, at each size of the vectors,
// asked one by one and in batches: each batch is one query, which reads the
// whole column. With a project the tables are loaded and BigQuery says what it
// would bill, by dry runs, which are free; without one, its rules are applied to
// the tweets.
func (a *app) cost(ctx context.Context) (err error) {
	if a.price <= 0 {
		return errors.New("cost needs -price: the dollars a TiB that queries read on demand, from BigQuery's price list for the region")
	}
	c, err := a.prepared(ctx)
	if err != nil {
		return err
	}
	var client *cloud.Client
	by := "by BigQuery's rules"
	if a.bigquery.project != "" {
		var end func() error
		if client, end, err = a.dialBigQuery(ctx, c); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, end()) }()
		by = "by dry runs in project " + a.bigquery.project
	}
	_, _ = fmt.Fprintf(a.out, "1,000 questions about %d tweets on BigQuery, at %g dollars a TiB, %s:\n\n", c.Stats.Kept, a.price, by)
	_, _ = fmt.Fprint(a.out, "| dimensions | MB a query reads | MiB it bills | one by one | in batches of 10 | of 100 |\n| ---: | ---: | ---: | ---: | ---: | ---: |\n")
	sizes := append(append([]int(nil), a.sizes...), 0)
	for _, size := range sizes {
		b := *a
		b.dims = size
		one, err := b.queryCost(ctx, client, c)
		if err != nil {
			return err
		}
		if size == 0 {
			size = c.Dims
		}
		_, _ = fmt.Fprintf(a.out, "| %d | %.1f | %d |", size, float64(one.Processed)/1e6, one.Billed>>20)
		for _, queries := range []float64{1000, 100, 10} {
			_, _ = fmt.Fprintf(a.out, " %.3f |", queries*one.Dollars(a.price))
		}
		_, _ = fmt.Fprintln(a.out)
	}
	return nil
}

// queryCost is one query's, at the size that a searches.
func (a *app) queryCost(ctx context.Context, client *cloud.Client, c *corpus.Corpus) (bigquery.Cost, error) {
	if client == nil {
		items, err := a.items(ctx, c)
		return bigquery.CostOf(items), err
	}
	finder, err := a.loadBigQuery(ctx, client, c)
	if err != nil {
		return bigquery.Cost{}, err
	}
	return finder.Estimate(ctx, 1, a.k)
}
