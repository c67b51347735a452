package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// Kafka writes to a topic. Key, headers and time of the input record travel
// on. A record is done when all in-sync replicas have it; the producer is
// idempotent, and puts keys where Java's clients do (murmur2).
//
// All Kafka sinks of a stage on one *kafka.Cluster, its dead letters included,
// share a producer.
func Kafka[T any](c *kafka.Cluster, topic stage.Topic[T], opts ...Option[T]) stage.Sink[T] {
	o := options[T]{name: topic.Name}
	for _, opt := range opts {
		opt(&o)
	}
	return stage.Sink[T]{
		Targets: []stage.Target{kafkaTarget(c, topic.Name)},
		Encode: func(v T, in *stage.Raw, emit func(int, stage.Raw)) error {
			value, err := topic.Codec.Encode(v)
			if err != nil {
				return err
			}
			name := o.name
			if o.choose != nil {
				name = cmp.Or(o.choose(v, in), name)
			}
			if name == "" {
				return errors.New("sink: the record chose no topic, and there is none to fall back on")
			}
			emit(0, stage.Raw{Topic: name, Key: in.Key, Value: value, Headers: in.Headers, Time: in.Time})
			return nil
		},
	}
}

// Option changes how [Kafka] writes.
type Option[T any] func(*options[T])

type options[T any] struct {
	name   string
	choose func(T, *stage.Raw) string
}

// ChooseTopic lets each record choose its topic, for instance by a header of
// the input record. Where it chooses "" the sink's own topic is taken, which
// may be empty if every record chooses. A record that chooses a topic which
// does not exist is a dead letter.
func ChooseTopic[T any](choose func(v T, in *stage.Raw) string) Option[T] {
	return func(o *options[T]) { o.choose = choose }
}

// kafkaTarget is a topic of a cluster, or with an empty name any topic of it.
func kafkaTarget(c *kafka.Cluster, topic string) stage.Target {
	return stage.Target{
		Topic:   topic,
		Share:   shared{c},
		Cluster: c,
		Check:   func(ctx context.Context, env stage.Env) error { return check(ctx, c, topic, env) },
		Open: func(ctx context.Context, env stage.Env) (stage.Writer, error) {
			cfg, err := producerConfig(c, env)
			if err != nil {
				return nil, err
			}
			most, err := limits(ctx, c, env.Topics)
			if err != nil {
				env.Logger.Debug("the topics' max.message.bytes are not known", "err", err)
			}
			sizes := newSizes(cfg, most)
			cfg.Producer.MaxMessageBytes = sizes.batch
			if env.TransactionalID == "" {
				p, err := newProducer(ctx, c.Brokers, cfg, sizes, env)
				if err != nil {
					return nil, fmt.Errorf("sink: producer for %v: %w", c.Brokers, err)
				}
				return p, nil
			}
			t := &transactor{
				cluster: c, config: cfg, sizes: sizes, env: env, log: env.Logger,
				budget: commitBudget(cfg, env.DrainTimeout),
			}
			// Before anything is read: where this id has left a transaction
			// open, the committed offsets are not known until it is settled.
			if err := t.revive(ctx); err != nil {
				return nil, errors.Join(err, t.Close(ctx))
			}
			return t, nil
		},
	}
}

func producerConfig(c *kafka.Cluster, env stage.Env) (*sarama.Config, error) {
	if env.TransactionalID == "" {
		return c.ProducerConfig()
	}
	cfg, err := c.TransactionConfig(env.TransactionalID)
	if err != nil {
		return nil, err
	}
	if most := cfg.Producer.Transaction.Timeout / 2; env.CommitInterval > most {
		return nil, fmt.Errorf("sink: Stage.CommitInterval (%v) must be at most half of Producer.Transaction.Timeout (%v), or the broker undoes transactions that are still open; lower it, or raise Consumer.Group.Session.Timeout, which the other follows", env.CommitInterval, cfg.Producer.Transaction.Timeout)
	}
	return cfg, nil
}

// shared keys the writer that the Kafka targets of one stage share.
type shared struct{ cluster *kafka.Cluster }
