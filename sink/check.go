package sink

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/preflight"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// check looks for all that would keep a stage from writing to a topic, or with
// an empty name to any topic of a cluster.
func check(ctx context.Context, c *kafka.Cluster, topic string, env stage.Env) error {
	if c == nil {
		return errors.New("sink: no cluster; give sink.Kafka a *kafka.Cluster")
	}
	cfg, err := producerConfig(c, env)
	if err != nil {
		return err
	}
	errs := []error{partitioning(cfg, env)}
	client, err := c.Dial(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	defer func() { _ = client.Close() }() // it has only read
	var topics []string
	if topic != "" {
		topics = append(topics, topic)
	}
	errs = append(errs, c.Check(ctx, topics...))
	for _, err := range []error{
		preflight.Topics(client, preflight.Write, topics...),
		transactions(client, cfg, env),
	} {
		if err != nil {
			errs = append(errs, fmt.Errorf("sink: %w", err))
		}
	}
	return errors.Join(errs...)
}

func transactions(client sarama.Client, cfg *sarama.Config, env stage.Env) error {
	if env.TransactionalID == "" {
		return nil
	}
	return preflight.Transactions(client, env.TransactionalID, cfg.Producer.Transaction.Timeout)
}

// partitioning tries out a config's partitioner. Another one than Java's is
// the user's choice, and worth a line; one that gives a key now this
// partition, now that one, undoes the order by key.
func partitioning(cfg *sarama.Config, env stage.Env) error {
	const many = 1 << 20
	theirs, java := cfg.Producer.Partitioner("probe"), sarama.NewMurmur2Partitioner("probe")
	other := false
	for i := range 8 {
		m := &sarama.ProducerMessage{Topic: "probe", Key: sarama.StringEncoder(fmt.Sprint("key", i))}
		usual, err0 := java.Partition(m, many)
		first, err1 := theirs.Partition(m, many)
		again, err2 := theirs.Partition(m, many)
		switch {
		case errors.Join(err0, err1, err2) != nil: // it wants other messages
		case first != again && env.Order != stage.Unordered:
			return errors.New("sink: Cluster.Config: Producer.Partitioner scatters the records of a key over the partitions, and so their order is lost; take one that hashes the key, or set Order: stage.Unordered")
		default:
			other = other || first != usual
		}
	}
	if other {
		env.Logger.Info("Producer.Partitioner in Cluster.Config puts keys into other partitions than Java's clients and Millrace's default (murmur2)")
	}
	return nil
}
