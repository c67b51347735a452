package main

import (
	"context"
	"errors"

	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// demo runs all parts in this process: the corpus, a broker unless one was
// given, both stages, and the prompt.
func (a *app) demo(ctx context.Context) (err error) {
	c, err := a.prepared(ctx)
	if err != nil {
		return err
	}
	cluster, closeBroker, err := a.clusterOrOwn()
	if err != nil {
		return err
	}
	defer closeBroker()
	if err := a.flow().Create(ctx, cluster); err != nil {
		return err
	}
	model, err := embed.Open(a.modelDir(), embed.WithLatency()) // one question at a time
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	nearest, closeFinder, err := a.nearestStage(ctx, cluster, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFinder()) }()

	asker, err := a.dial(ctx, cluster)
	if err != nil {
		return err
	}
	// The prompt ends the stages, and a stage that fails ends the prompt.
	stages, stop := context.WithCancel(ctx)
	defer stop()
	prompt, stopPrompt := context.WithCancelCause(ctx)
	defer stopPrompt(nil)
	ended := make(chan error, 1)
	go func() {
		err := stage.Run(stages, flow.Embed(cluster, a.flow(), model, a.log), nearest)
		stopPrompt(err)
		ended <- err
	}()
	promptErr := a.warmUp(prompt, asker)
	if promptErr == nil {
		a.report.Say("%d tweets are ready", c.Stats.Kept)
		promptErr = a.prompt(prompt, asker)
	}
	stop()
	return errors.Join(<-ended, promptErr, asker.Close(ctx))
}

// warmUp asks a question that nobody sees: the first one waits until both
// stages have joined their groups, which says nothing of those after it.
func (a *app) warmUp(ctx context.Context, asker *asker) error {
	_, err := a.question(ctx, asker, "hello")
	if cause := context.Cause(ctx); cause != nil {
		return cause // a stage ended: it says why
	}
	return err
}

// clusterOrOwn is the Kafka that was given, or a broker in this process.
func (a *app) clusterOrOwn() (*kafka.Cluster, func(), error) {
	if a.brokers != "" {
		c, err := a.cluster()
		return c, func() {}, err
	}
	b, err := kafkatest.New(kafkatest.Options{})
	if err != nil {
		return nil, nil, err
	}
	return b.Cluster(), b.Close, nil
}

// ask runs the prompt against stages that run elsewhere.
func (a *app) ask(ctx context.Context) (err error) {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	if err := a.flow().Create(ctx, cluster); err != nil {
		return err
	}
	asker, err := a.dial(ctx, cluster)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, asker.Close(ctx)) }()
	return a.prompt(ctx, asker)
}
