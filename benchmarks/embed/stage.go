package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

const partitions = 6

// batchSize is what embed's documentation tells users to take for speed.
const batchSize = 1024

// stageBench passes the texts through a whole stage: from a topic through the
// model to another topic.
type stageBench struct {
	model   *embed.Model
	texts   []string
	brokers []string
	prefix  string // of topics and groups
	turns   int
}

// run gives the seconds from the first record in the model's hands to the last
// vector in the topic. The group's start, which happens once in a stage's life,
// is not in it.
func (s *stageBench) run(ctx context.Context) (seconds float64, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	cluster := &kafka.Cluster{Brokers: s.brokers}
	in := stage.Topic[string]{Name: s.prefix + "-texts", Codec: stage.String()}
	if s.turns == 0 {
		if err := s.fill(ctx, admin, cluster, in); err != nil {
			return 0, err
		}
	}
	s.turns++
	out := stage.Topic[vector.Vector]{Name: fmt.Sprintf("%s-vectors-%d", s.prefix, s.turns), Codec: vector.Codec{}}
	if _, err := admin.CreateTopic(ctx, partitions, -1, nil, out.Name); err != nil {
		return 0, err
	}

	watched := &watch{model: s.model, all: make(chan struct{})}
	watched.left.Store(int64(len(s.texts)))
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- stage.Run(running, &stage.Stage[string, vector.Vector]{
			Source:    source.Kafka(cluster, in, out.Name),
			Transform: watched,
			Sink:      sink.Kafka(cluster, out),
			BatchSize: batchSize,
			Logger:    slog.New(slog.DiscardHandler),
		})
	}()
	select {
	case <-watched.all:
		seconds, err = watched.until(ctx, admin, out.Name, len(s.texts))
		stop()
		if stopped := <-ended; err == nil {
			err = stopped
		}
	case err = <-ended:
		stop()
		if err == nil {
			err = errors.New("the stage ended by itself")
		}
	}
	return seconds, err
}

// fill writes the texts to the topic.
func (s *stageBench) fill(ctx context.Context, admin *kadm.Client, cluster *kafka.Cluster, in stage.Topic[string]) error {
	if _, err := admin.CreateTopic(ctx, partitions, -1, nil, in.Name); err != nil {
		return err
	}
	return stage.Run(ctx, &stage.Stage[string, string]{
		Source:    source.Slice(s.texts),
		Transform: stage.Map(func(_ context.Context, text string) (string, error) { return text, nil }),
		Sink:      sink.Kafka(cluster, in),
		Logger:    slog.New(slog.DiscardHandler),
	})
}

// watch is the model, and notes when the first text came and all are done.
type watch struct {
	model *embed.Model
	once  sync.Once
	begun time.Time
	left  atomic.Int64
	all   chan struct{}
}

func (w *watch) Transform(ctx context.Context, texts []string) ([]vector.Vector, error) {
	w.once.Do(func() { w.begun = time.Now() })
	vectors, err := w.model.Transform(ctx, texts)
	if err == nil && w.left.Add(-int64(len(texts))) == 0 {
		close(w.all)
	}
	return vectors, err
}

// until waits for n records in the topic and tells how many seconds it took
// them to get there. It is called when they can't be far.
func (w *watch) until(ctx context.Context, admin *kadm.Client, topic string, n int) (float64, error) {
	for {
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return 0, err
		}
		took := time.Since(w.begun).Seconds()
		there := int64(0)
		ends.Each(func(o kadm.ListedOffset) { there += o.Offset })
		if there > int64(n) {
			return 0, fmt.Errorf("%d vectors of %d texts", there, n)
		}
		if there == int64(n) {
			return took, nil
		}
		time.Sleep(2 * time.Millisecond)
	}
}
