package kafkatest

import (
	"fmt"
	"io"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/millrace-go/millrace/stage/kafka"
)

// Broker is a Kafka broker in this process, listening on 127.0.0.1. It is safe
// for concurrent use.
type Broker struct {
	fake   *kfake.Cluster
	config func(*sarama.Config)
}

// Options says how a [Broker] is started. The zero value is one node on a free
// port that forgets everything when it is closed.
type Options struct {
	// Port to listen on. Zero means a free one.
	Port int
	// Nodes is how many brokers the cluster has. Zero means one, and more
	// than one need Port to be zero.
	Nodes int
	// Dir, if set, keeps the topics there, so that the next broker on the
	// same folder has them.
	Dir string
	// Log, if set, gets what the broker does.
	Log io.Writer
	// Fake are further options of the cluster underneath: TLS, logins, an
	// older version of Kafka.
	Fake []kfake.Opt
	// Config is [kafka.Cluster.Config] of the cluster's clients: how they log
	// in, for example.
	Config func(*sarama.Config)
}

// New starts a broker. The caller closes it.
func New(o Options) (*Broker, error) {
	// A group of one is complete at once: no waiting for other members.
	opts := []kfake.Opt{kfake.NumBrokers(max(1, o.Nodes)), kfake.BrokerConfigs(map[string]string{
		"group.initial.rebalance.delay.ms": "0",
		"group.min.session.timeout.ms":     "500", // so that tests need not wait for members that died
	})}
	if o.Port != 0 {
		opts = append(opts, kfake.Ports(o.Port))
	}
	if o.Dir != "" {
		opts = append(opts, kfake.DataDir(o.Dir))
	}
	if o.Log != nil {
		opts = append(opts, kfake.WithLogger(kfake.BasicLogger(o.Log, kfake.LogLevelInfo)))
	}
	fake, err := kfake.NewCluster(append(opts, o.Fake...)...)
	if err != nil {
		return nil, fmt.Errorf("kafkatest: start a broker: %w", err)
	}
	return &Broker{fake: fake, config: o.Config}, nil
}

// Fake is the cluster underneath: its faults, its controls, and how it moves
// leaders and coordinators.
func (b *Broker) Fake() *kfake.Cluster { return b.fake }

// Close stops the broker and cuts its connections.
func (b *Broker) Close() { b.fake.Close() }

// Addrs returns the addresses to give to a client.
func (b *Broker) Addrs() []string { return b.fake.ListenAddrs() }

// Cluster returns what source.Kafka and sink.Kafka take. Each call returns
// another one.
func (b *Broker) Cluster() *kafka.Cluster {
	return &kafka.Cluster{Brokers: b.Addrs(), Config: b.config}
}

// CreateTopic makes a topic; one that exists already is left as it is.
func (b *Broker) CreateTopic(name string, partitions int32) error {
	if b.fake.TopicInfo(name) != nil {
		return nil
	}
	if err := b.fake.CreateTopic(name, partitions, nil); err != nil {
		return fmt.Errorf("kafkatest: create topic %q: %w", name, err)
	}
	return nil
}

// DeleteTopic removes a topic and all its records.
func (b *Broker) DeleteTopic(name string) error { return b.fake.DeleteTopic(name) }
