package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// The table that Confluent's Parallel Consumer publishes in its README: 10,000
// records in one partition, each of which takes from 0 to 5 ms: 0, 1, 2, 3 or 4,
// or its 22.2 s one after the other would be too little for all of them.
const (
	parallelRecords = 10_000
	parallelMost    = 5 // ms, exclusive
)

// shape is an order and how many keys there are, and what Parallel Consumer's
// README says of it; 0: nothing.
type shape struct {
	order     stage.Order
	keys      int
	published float64 // seconds
}

func parallelShapes() []shape {
	return []shape{
		{stage.ByPartition, 20, 22.2}, {stage.ByKey, 2, 13.6}, {stage.ByKey, 10, 3.3}, {stage.ByKey, 20, 2.24},
		{stage.ByKey, 100, 0}, {stage.Unordered, 20, 2.83},
	}
}

// parallelTimes has a stage do the records of one shape with so many workers.
// It returns seconds from its first record to its last commit.
func (b *bench) parallelTimes(ctx context.Context, s shape, workers int) (float64, error) {
	b.turns++
	in, out := fmt.Sprintf("%s-in-%d", b.prefix, b.turns), fmt.Sprintf("%s-out-%d", b.prefix, b.turns)
	for _, topic := range []string{in, out} {
		if err := b.broker.create(ctx, topic, 1); err != nil {
			return 0, err
		}
	}
	defer func() { _ = b.broker.remove(context.WithoutCancel(ctx), in, out) }()
	if err := b.broker.fill(ctx, in, parallelRecords, 16, s.keys); err != nil {
		return 0, err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	pauses := make([]time.Duration, parallelRecords) // the same for all
	for i := range pauses {
		pauses[i] = time.Duration(rng.IntN(parallelMost)) * time.Millisecond
	}
	var begun time.Time
	started := make(chan struct{}, 1)
	started <- struct{}{}
	c := &kafka.Cluster{Brokers: b.broker.addrs}
	err := stage.Run(ctx, &stage.Stage[stage.Record[string], string]{
		Name:   "parallel",
		Source: source.WithRecord(source.Kafka(c, stage.Topic[string]{Name: in, Codec: stage.String()}, in, source.UntilEnd())),
		Transform: stage.Map(func(_ context.Context, r stage.Record[string]) (string, error) {
			select {
			case <-started:
				begun = time.Now()
			default:
			}
			time.Sleep(pauses[r.Offset])
			return r.Value, nil
		}),
		Sink:    sink.Kafka(c, stage.Topic[string]{Name: out, Codec: stage.String()}),
		Order:   s.order,
		Workers: workers,
		Logger:  slog.New(slog.DiscardHandler),
	})
	return time.Since(begun).Seconds(), err
}
