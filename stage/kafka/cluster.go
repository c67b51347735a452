package kafka

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// Cluster is a Kafka cluster. It holds no connection and starts nothing, and
// is safe for concurrent use as long as its fields do not change.
//
// Sinks of one stage that write to the same *Cluster share one producer.
type Cluster struct {
	// Brokers are the addresses to begin with, host:port. Required.
	Brokers []string
	// Config, if set, is called with the config of each client before it is
	// used, or once more to check it: TLS, SASL, version, buffers, all that
	// sarama knows. It must not share what is stateful (balance strategies)
	// between calls. A value that would break a stage's promise is refused
	// with an error.
	Config func(*sarama.Config)
	// StartTimeout bounds how long a start waits for the cluster to answer.
	// Zero means 30 s.
	StartTimeout time.Duration
}

// ConsumerConfig returns the config of a consumer group's client. start is
// sarama.OffsetOldest or sarama.OffsetNewest: where a group without a
// committed offset begins.
func (c *Cluster) ConsumerConfig(start int64) (*sarama.Config, error) {
	cfg := c.base()
	cfg.Consumer.Offsets.Initial = start
	cfg.Consumer.IsolationLevel = sarama.ReadCommitted
	cfg.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	// A silent jump to another offset would break every promise.
	cfg.Consumer.Group.ResetInvalidOffsets = false
	// How long an empty partition keeps a fetch waiting. It delays no record,
	// but a claim ends only when its fetch has come back.
	cfg.Consumer.MaxWaitTime = 250 * time.Millisecond
	c.configure(cfg)

	// A join waits for the slowest member; sarama reads its answer with the
	// time-out of every other one, and gives up all partitions when it is over.
	cfg.Net.ReadTimeout = max(cfg.Net.ReadTimeout, cfg.Consumer.Group.Rebalance.Timeout+5*time.Second)
	// What a stage does itself, whatever the user set.
	cfg.Consumer.Offsets.AutoCommit.Enable = false
	cfg.Consumer.Return.Errors = true
	return cfg, c.refuse(cfg,
		rule{cfg.Consumer.Group.ResetInvalidOffsets, "Consumer.Group.ResetInvalidOffsets is true: offsets that are gone would be skipped in silence"},
		rule{cfg.Consumer.IsolationLevel != sarama.ReadCommitted, "Consumer.IsolationLevel is not ReadCommitted: records of transactions that were undone would be read"},
		rule{c.sharesStrategy(cfg), "Consumer.Group.Rebalance has a balance strategy that an earlier call has set, too, and consumers would mix up their partitions: make a new one in each call, for example by sarama.NewBalanceStrategyRange()"},
		rule{cfg.Consumer.Offsets.Initial != start, "Consumer.Offsets.Initial was changed: say where to start by an option of source.Kafka"},
	)
}

// ProducerConfig returns the config of a producer: idempotent, acknowledged by
// all in-sync replicas, and partitioning as Java's clients do (murmur2).
// [Cluster.Config] may set another partitioner, which a stage's check mentions
// in the log; one that does not keep a key's records together is refused,
// unless the stage keeps no order.
func (c *Cluster) ProducerConfig() (*sarama.Config, error) {
	return c.producer(func(cfg *sarama.Config) {
		// Five minutes of outage, in which sarama keeps the order. A failed
		// look-up of a leader returns at once and fails the record, whatever
		// Producer.Retry says, so that Metadata.Retry has to carry it too.
		cfg.Producer.Retry.Max = 1200
		cfg.Metadata.Retry.Max = 1200
	})
}

func (c *Cluster) producer(set func(*sarama.Config)) (*sarama.Config, error) {
	cfg := c.base()
	cfg.Producer.RequiredAcks = sarama.WaitForAll
	cfg.Producer.Idempotent = true
	cfg.Net.MaxOpenRequests = 1 // sarama's condition for Idempotent
	cfg.Producer.Partitioner = sarama.NewMurmur2Partitioner
	cfg.Producer.Retry.Backoff = 250 * time.Millisecond
	cfg.Metadata.Retry.Backoff = 250 * time.Millisecond
	set(cfg)
	c.configure(cfg)
	cfg.Producer.Return.Successes = true
	cfg.Producer.Return.Errors = true
	return cfg, c.refuse(cfg,
		rule{cfg.Producer.RequiredAcks != sarama.WaitForAll, "Producer.RequiredAcks is not WaitForAll: an acknowledged record could be lost"},
		rule{!cfg.Producer.Idempotent, "Producer.Idempotent is false: a retry could write twice or out of order"},
	)
}

// TransactionConfig returns the config of a producer that writes in
// transactions under an id.
func (c *Cluster) TransactionConfig(id string) (*sarama.Config, error) {
	consumer, err := c.ConsumerConfig(sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	session := consumer.Consumer.Group.Session.Timeout
	cfg, err := c.producer(func(cfg *sarama.Config) {
		cfg.Producer.Transaction.ID = id
		// A process that hangs has its transaction undone before its
		// partitions go to another, which would wait for it.
		cfg.Producer.Transaction.Timeout = session * 9 / 10
		cfg.Producer.Transaction.Retry.Max = 100
		cfg.Producer.Transaction.Retry.Backoff = 100 * time.Millisecond
		// What this does not carry, the stage writes again.
		cfg.Producer.Retry.Max = 20
		cfg.Metadata.Retry.Max = 20
	})
	if err != nil {
		return nil, err
	}
	return cfg, c.refuse(cfg,
		rule{cfg.Producer.Transaction.ID != id, "Producer.Transaction.ID was changed: it is Stage.TransactionalID"},
		rule{cfg.Producer.Transaction.Timeout >= session, fmt.Sprintf("Producer.Transaction.Timeout (%v) is not below Consumer.Group.Session.Timeout (%v): the transaction of a process that hangs would outlive its membership", cfg.Producer.Transaction.Timeout, session)},
	)
}

// ClientConfig returns the config of a client that neither consumes in a group
// nor produces, such as an admin client. It gives up soon.
func (c *Cluster) ClientConfig() (*sarama.Config, error) {
	cfg := c.base()
	cfg.Metadata.Retry.Max = 1
	cfg.Metadata.Retry.Backoff = 100 * time.Millisecond
	cfg.Net.DialTimeout = min(5*time.Second, c.startTimeout())
	// Somebody may wait for what it reads, or for the end of an idle fetch.
	cfg.Consumer.Retry.Backoff = 250 * time.Millisecond
	cfg.Consumer.MaxWaitTime = 250 * time.Millisecond
	cfg.Consumer.IsolationLevel = sarama.ReadCommitted
	c.configure(cfg)
	return cfg, c.refuse(cfg)
}

func (c *Cluster) base() *sarama.Config {
	cfg := sarama.NewConfig()
	cfg.ClientID = "millrace"
	cfg.Metadata.AllowAutoTopicCreation = false // a misspelt topic is an error, not a new topic
	return cfg
}

func (c *Cluster) configure(cfg *sarama.Config) {
	if c.Config != nil {
		c.Config(cfg)
	}
}

// sharesStrategy reports whether the user's Config gives out one balance
// strategy twice. They keep what they know of their own group's members.
func (c *Cluster) sharesStrategy(cfg *sarama.Config) bool {
	again := c.base()
	c.configure(again)
	theirs := strategies(again)
	return slices.ContainsFunc(strategies(cfg), func(s sarama.BalanceStrategy) bool {
		v := reflect.ValueOf(s)
		if v.Kind() != reflect.Pointer || v.Type().Elem().Size() == 0 {
			return false // without an identity it has no state to share
		}
		return slices.ContainsFunc(theirs, func(t sarama.BalanceStrategy) bool {
			w := reflect.ValueOf(t)
			return w.Kind() == reflect.Pointer && w.Type() == v.Type() && w.Pointer() == v.Pointer()
		})
	})
}

// strategies returns those of a config, the old field's included.
func strategies(cfg *sarama.Config) []sarama.BalanceStrategy {
	r := cfg.Consumer.Group.Rebalance
	return append(slices.Clone(r.GroupStrategies), r.Strategy)
}

// rule is a setting that must not be.
type rule struct {
	broken bool
	why    string
}

func (c *Cluster) refuse(cfg *sarama.Config, rules ...rule) error {
	rules = append(rules, rule{!cfg.Version.IsAtLeast(sarama.V2_5_0_0), fmt.Sprintf("Version is %v: a stage needs at least 2.5", cfg.Version)})
	var errs []error
	for _, r := range rules {
		if r.broken {
			errs = append(errs, fmt.Errorf("kafka: Cluster.Config: %s", r.why))
		}
	}
	if err := cfg.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("kafka: Cluster.Config: %w", err))
	}
	return errors.Join(errs...)
}
