package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/examples/tweets/internal/corpus"
	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
	"github.com/millrace-go/millrace/examples/tweets/sample"
	"github.com/millrace-go/millrace/internal/cachedir"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// prepare makes the corpus, or finds it made.
func (a *app) prepare(ctx context.Context) error {
	c, err := a.prepared(ctx)
	if err != nil {
		return err
	}
	a.report.Say("ready: %d tweets of %s, %d dimensions and %v, in %s", c.Stats.Kept, c.Archive, c.Dims, c.Sizes, c.Dir)
	return nil
}

func (a *app) prepared(ctx context.Context) (c *corpus.Corpus, err error) {
	dir, err := a.corpusDir()
	if err != nil {
		return nil, err
	}
	model, err := embed.Open(a.modelDir())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	return corpus.Prepare(ctx, a.archiveFile(), dir, model, a.sizes, a.report, a.log)
}

// found opens the corpus that prepare made.
func (a *app) found() (*corpus.Corpus, error) {
	dir, err := a.corpusDir()
	if err != nil {
		return nil, err
	}
	c, err := corpus.Open(dir)
	if errors.Is(err, corpus.ErrNotPrepared) {
		return nil, fmt.Errorf("%s is not prepared; run `tweets prepare` with the same -archive, -model and -data first", a.archiveFile().Name)
	}
	return c, err
}

func (a *app) archiveFile() corpus.Archive {
	if a.archive == "" {
		return corpus.Archive{
			Name: "the sample",
			Open: func() (io.ReadCloser, error) { return io.NopCloser(sample.Posts()), nil },
		}
	}
	return corpus.Archive{Name: a.archive, Open: func() (io.ReadCloser, error) { return os.Open(a.archive) }}
}

// corpusDir is a folder of its own for each archive and model.
func (a *app) corpusDir() (string, error) {
	if a.data != "" {
		return a.data, nil
	}
	id, err := a.archiveFile().ID()
	if err != nil {
		return "", err
	}
	cache, err := cachedir.Dir()
	if err != nil {
		return "", fmt.Errorf("no folder for what is prepared: %w; or give -data", err)
	}
	return filepath.Join(cache, "tweets", id[:12]+"-"+filepath.Base(a.modelDir())), nil
}

// broker runs a broker until ctx ends.
func (a *app) broker(ctx context.Context) error {
	b, err := kafkatest.New(kafkatest.Options{Port: a.port, Dir: a.keep})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := a.flow().Create(ctx, b.Cluster()); err != nil {
		return err
	}
	a.report.Say("a broker for -brokers %s; Ctrl-C ends it", b.Addrs()[0])
	<-ctx.Done()
	return nil
}

// embed runs the stage from questions to vectors until ctx ends.
func (a *app) embed(ctx context.Context) (err error) {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	model, err := embed.Open(a.modelDir(), embed.WithLatency()) // one question at a time
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	return a.runStages(ctx, cluster, "embedding questions", flow.Embed(cluster, a.flow(), model, a.log))
}

// nearest runs the stage from vectors to answers until ctx ends.
func (a *app) nearest(ctx context.Context) (err error) {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	c, err := a.found()
	if err != nil {
		return err
	}
	s, closeFinder, err := a.nearestStage(ctx, cluster, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFinder()) }()
	return a.runStages(ctx, cluster, "answering", s)
}

// runStages makes the topics and runs the stages.
func (a *app) runStages(ctx context.Context, c *kafka.Cluster, doing string, stages ...stage.Runner) error {
	if err := a.flow().Create(ctx, c); err != nil {
		return err
	}
	a.report.Say("%s on %s; Ctrl-C drains and ends", doing, c.Brokers[0])
	return stage.Run(ctx, stages...)
}

// nearestStage makes the stage that searches a corpus, and what to call when
// it is over.
func (a *app) nearestStage(ctx context.Context, cluster *kafka.Cluster, c *corpus.Corpus) (stage.Runner, func() error, error) {
	posts, err := c.Posts()
	if err != nil {
		return nil, nil, err
	}
	finder, closeFinder, err := a.openFinder(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	search, err := a.search(c, finder)
	if err != nil {
		return nil, nil, errors.Join(err, closeFinder())
	}
	return flow.Nearest(cluster, a.flow(), search, posts, a.log), closeFinder, nil
}

// search puts the reduction, if one was asked for, before the finder.
func (a *app) search(c *corpus.Corpus, finder similarity.Finder) (stage.Transform[vector.Vector, []similarity.Hit], error) {
	nearest := similarity.Nearest(finder, a.k)
	if a.dims == 0 {
		return nearest, nil
	}
	pca, err := c.PCA(a.dims)
	if err != nil {
		return nil, err
	}
	return stage.Then(pca, nearest), nil
}

// openFinder opens the index that -finder names.
func (a *app) openFinder(ctx context.Context, c *corpus.Corpus) (similarity.Finder, func() error, error) {
	if a.finder == "bigquery" {
		return a.openBigQuery(ctx, c)
	}
	index, err := c.Index(a.dims)
	return index, func() error { return nil }, err
}
