package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/preflight"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// Kafka reads a topic as a member of a consumer group: start the same program
// on several machines and they share the topic's partitions. A group that has
// committed nothing yet starts at the beginning, unless an option says
// otherwise.
//
// Rebalances are cooperative: partitions that stay are not interrupted. Only
// committed records of transactions are read. When the stage is full the
// partitions are paused; what sarama has fetched by then (one fetch and 256
// records a partition) still arrives and is kept in memory.
//
// With Consumer.Group.InstanceId in [kafka.Cluster.Config] the member is
// static: it does not leave the group when the stage stops, and so gets its
// partitions back, with no rebalance, if it returns within Session.Timeout.
// Until then nobody else reads them. Two processes with one id don't work: the
// later one takes over, and the other one stops with an error.
func Kafka[T any](c *kafka.Cluster, topic stage.Topic[T], group string, opts ...Option) stage.Source[T] {
	o := options{cluster: c, group: group, topics: []string{topic.Name}, start: sarama.OffsetOldest}
	for _, opt := range opts {
		opt(&o)
	}
	return stage.Source[T]{
		Cluster: c,
		Check:   o.check,
		Open:    o.open,
		Decode: func(r *stage.Raw) (T, error) {
			return topic.Codec.Decode(r.Value)
		},
	}
}

// Option changes how [Kafka] reads.
type Option func(*options)

// Also reads further topics beside the first one, with the same codec.
func Also(topics ...string) Option {
	return func(o *options) { o.topics = append(o.topics, topics...) }
}

// FromEnd starts a new group with the records that come after it has joined.
func FromEnd() Option { return func(o *options) { o.start = sarama.OffsetNewest } }

// FromTime starts a new group with the first record of each partition that is
// not older than t.
func FromTime(t time.Time) Option { return func(o *options) { o.since = t } }

// UntilEnd reads to the end of each partition as it is when the source is
// opened, and then ends: for a back-fill. The end is the high-water mark: if
// a transaction is open there, the run waits until that has ended.
func UntilEnd() Option { return func(o *options) { o.bounded = true } }

type options struct {
	cluster *kafka.Cluster
	group   string
	topics  []string
	start   int64
	since   time.Time // zero: start says where
	bounded bool
}

func (o *options) check(ctx context.Context, _ stage.Env) error {
	if o.cluster == nil {
		return errors.New("source: no cluster; give source.Kafka a *kafka.Cluster")
	}
	if o.group == "" {
		return errors.New("source: no consumer group; give source.Kafka a name for it")
	}
	if _, err := o.cluster.ConsumerConfig(o.start); err != nil {
		return err
	}
	client, err := o.cluster.Dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // it has only read
	errs := []error{o.cluster.Check(ctx, o.topics...)}
	for _, err := range []error{
		preflight.Group(client, o.group),
		preflight.Topics(client, preflight.Read, o.topics...),
	} {
		if err != nil {
			errs = append(errs, fmt.Errorf("source: %w", err))
		}
	}
	return errors.Join(errs...)
}

// WithRecord gives the stage the whole record of each value: key, headers,
// time, and where it was read.
func WithRecord[T any](src stage.Source[T]) stage.Source[stage.Record[T]] {
	return stage.Source[stage.Record[T]]{
		Cluster: src.Cluster,
		Check:   src.Check,
		Open:    src.Open,
		Decode: func(r *stage.Raw) (stage.Record[T], error) {
			v, err := src.Decode(r)
			return stage.Record[T]{Value: v, Raw: *r}, err
		},
	}
}
