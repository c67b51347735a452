package main

import (
	"context"
	"errors"
	"path/filepath"

	cloud "cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/examples/tweets/internal/corpus"
	"github.com/millrace-go/millrace/internal/emulator"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/bigquery"
)

// bigqueryOptions say which BigQuery.
type bigqueryOptions struct {
	project string // empty: an emulator on this machine
	dataset string
}

// openBigQuery puts a corpus into a BigQuery table, unless it is there, and
// searches it there. What it returns closes the client, and the emulator.
func (a *app) openBigQuery(ctx context.Context, c *corpus.Corpus) (similarity.Finder, func() error, error) {
	client, end, err := a.dialBigQuery(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	finder, err := a.loadBigQuery(ctx, client, c)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return finder, end, nil
}

// dialBigQuery connects to the service by its usual credentials, or starts an
// emulator that keeps its tables beside the corpus.
func (a *app) dialBigQuery(ctx context.Context, c *corpus.Corpus) (*cloud.Client, func() error, error) {
	if a.bigquery.project != "" {
		client, err := cloud.NewClient(ctx, a.bigquery.project)
		if err != nil {
			return nil, nil, err
		}
		return client, client.Close, nil
	}
	if err := emulator.Install(ctx, a.err); err != nil {
		return nil, nil, err
	}
	a.report.Say("starting the BigQuery emulator")
	e, err := emulator.Start(ctx, filepath.Join(c.Dir, "bigquery"))
	if err != nil {
		return nil, nil, err
	}
	client, err := e.Client(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, e.Close())
	}
	return client, func() error { return errors.Join(client.Close(), e.Close()) }, nil
}

func (a *app) loadBigQuery(ctx context.Context, client *cloud.Client, c *corpus.Corpus) (*bigquery.Finder, error) {
	items, err := a.items(ctx, c)
	if err != nil {
		return nil, err
	}
	table := bigquery.Table{Client: client, Dataset: a.bigquery.dataset, Name: "tweets_" + c.SHA256[:12]}
	bar := a.report.Bar("loading into BigQuery", len(items), 0)
	err = table.Load(ctx, items, func(done, _ int) { bar.Set(done) })
	bar.Done()
	if err != nil {
		return nil, err
	}
	return bigquery.Open(ctx, table, items[0].Vector.Space, similarity.Euclidean)
}

// items are the corpus's vectors at the size that is searched.
func (a *app) items(ctx context.Context, c *corpus.Corpus) ([]similarity.Item, error) {
	items, err := c.Items()
	if err != nil || a.dims == 0 {
		return items, err
	}
	pca, err := c.PCA(a.dims)
	if err != nil {
		return nil, err
	}
	return corpus.Reduce(ctx, pca, items)
}
