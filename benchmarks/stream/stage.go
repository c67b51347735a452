package main

import (
	"context"
	"log/slog"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// shared is a codec that copies nothing: the transform must leave its input's
// bytes alone, as the loops do.
type shared struct{}

func (shared) Encode(b []byte) ([]byte, error) { return b, nil }
func (shared) Decode(b []byte) ([]byte, error) { return b, nil }

// passThrough is the stage that does what the loops do.
func (j *job) passThrough(c *kafka.Cluster) *stage.Stage[[]byte, []byte] {
	return &stage.Stage[[]byte, []byte]{
		Name:      "pass-through",
		Source:    source.Kafka(c, stage.Topic[[]byte]{Name: j.In, Codec: shared{}}, j.Group),
		Transform: stage.Map(func(_ context.Context, v []byte) ([]byte, error) { return work(v), nil }),
		Sink:      sink.Kafka(c, stage.Topic[[]byte]{Name: j.Out, Codec: shared{}}),
		Order:     j.Order,
		Workers:   1, // there is next to nothing to do at once
		BatchSize: 256,
		Logger:    slog.Default(),
	}
}

func (j *job) stageAtLeastOnce(ctx context.Context, c *kafka.Cluster) error {
	return stage.Run(ctx, j.passThrough(c))
}

func (j *job) stageExactlyOnce(ctx context.Context, c *kafka.Cluster) error {
	s := j.passThrough(c)
	s.Delivery, s.TransactionalID = stage.ExactlyOnce, j.Group
	return stage.Run(ctx, s)
}
