package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage/kafka"
)

// The loops that one writes by hand with sarama alone. They have the same
// configuration as a stage, and promise as much for as long as nothing goes
// wrong; they have no retries, no dead letters, no order by key.

// consumeGroup runs a handler as a member of the group until ctx ends.
func (j *job) consumeGroup(ctx context.Context, cluster *kafka.Cluster, h sarama.ConsumerGroupHandler, set func(*sarama.Config)) error {
	cfg, err := cluster.ConsumerConfig(sarama.OffsetOldest)
	if err != nil {
		return err
	}
	set(cfg)
	group, err := sarama.NewConsumerGroup(j.Brokers, j.Group, cfg)
	if err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	var heard sync.WaitGroup
	heard.Go(func() {
		for err := range group.Errors() {
			fmt.Println("loop: group:", err)
		}
	})
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{j.In}, h); err != nil {
			return errors.Join(fmt.Errorf("loop: %w", err), group.Close())
		}
	}
	err = group.Close()
	heard.Wait()
	return err
}

// noSetup is a group handler's methods that these loops have no use for.
type noSetup struct{}

func (noSetup) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (noSetup) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// atLeastOnceLoop marks offsets up to the oldest record that is not
// acknowledged.
type atLeastOnceLoop struct {
	noSetup
	out      string
	producer sarama.AsyncProducer
}

// claim is what is in flight of a partition, in its order.
type claim struct {
	mu      sync.Mutex
	session sarama.ConsumerGroupSession
	flights []*flight
	empty   sync.Cond
}

type flight struct {
	claim   *claim
	message *sarama.ConsumerMessage
	done    bool
}

func (j *job) loopAtLeastOnce(ctx context.Context, cluster *kafka.Cluster) error {
	cfg, err := cluster.ProducerConfig()
	if err != nil {
		return err
	}
	p, err := sarama.NewAsyncProducer(j.Brokers, cfg)
	if err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	var heard sync.WaitGroup
	heard.Go(func() {
		for m := range p.Successes() {
			m.Metadata.(*flight).land()
		}
	})
	heard.Go(func() {
		for err := range p.Errors() {
			fmt.Println("loop: produce:", err)
		}
	})
	err = j.consumeGroup(ctx, cluster, &atLeastOnceLoop{out: j.Out, producer: p}, func(c *sarama.Config) {
		c.Consumer.Offsets.AutoCommit.Enable = true // each second, as a stage does
	})
	p.AsyncClose()
	heard.Wait()
	return err
}

// land notes that a record is acknowledged.
func (f *flight) land() {
	c := f.claim
	c.mu.Lock()
	defer c.mu.Unlock()
	f.done = true
	var last *sarama.ConsumerMessage
	for len(c.flights) > 0 && c.flights[0].done {
		last = c.flights[0].message
		c.flights[0] = nil
		c.flights = c.flights[1:]
	}
	if last != nil {
		c.session.MarkMessage(last, "")
	}
	if len(c.flights) == 0 {
		c.empty.Broadcast()
	}
}

func (h *atLeastOnceLoop) ConsumeClaim(s sarama.ConsumerGroupSession, messages sarama.ConsumerGroupClaim) error {
	c := &claim{session: s}
	c.empty.L = &c.mu
	for m := range messages.Messages() {
		f := &flight{claim: c, message: m}
		c.mu.Lock()
		c.flights = append(c.flights, f)
		c.mu.Unlock()
		h.producer.Input() <- &sarama.ProducerMessage{
			Topic: h.out, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(work(m.Value)), Metadata: f,
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.flights) > 0 {
		c.empty.Wait()
	}
	return nil
}

// exactlyOnceLoop has a transactional producer for each partition, as sarama's
// example does, and transactions of a fixed size.
type exactlyOnceLoop struct {
	noSetup
	job     *job
	cluster *kafka.Cluster
}

func (j *job) loopExactlyOnce(ctx context.Context, cluster *kafka.Cluster) error {
	return j.consumeGroup(ctx, cluster, &exactlyOnceLoop{job: j, cluster: cluster}, func(*sarama.Config) {})
}

func (h *exactlyOnceLoop) ConsumeClaim(s sarama.ConsumerGroupSession, messages sarama.ConsumerGroupClaim) error {
	cfg, err := h.cluster.TransactionConfig(fmt.Sprintf("%s-%d", h.job.Group, messages.Partition()))
	if err != nil {
		return err
	}
	cfg.Producer.Return.Successes = false // it has no use for them
	p, err := sarama.NewAsyncProducer(h.job.Brokers, cfg)
	if err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	var heard sync.WaitGroup
	heard.Go(func() {
		for err := range p.Errors() {
			fmt.Println("loop: produce:", err)
		}
	})
	defer heard.Wait()
	defer p.AsyncClose()

	n, next := 0, int64(0) // in the open transaction, and what comes behind it
	commit := func() error {
		if n == 0 {
			return nil
		}
		n = 0
		err := p.AddOffsetsToTxnWithGroupMetadata(map[string][]*sarama.PartitionOffsetMetadata{
			messages.Topic(): {{Partition: messages.Partition(), Offset: next, LeaderEpoch: -1}},
		}, sarama.NewConsumerGroupMetadataFromSession(s, h.job.Group, nil))
		if err != nil {
			return fmt.Errorf("loop: offsets: %w", err)
		}
		if err := p.CommitTxn(); err != nil {
			return fmt.Errorf("loop: commit: %w", err)
		}
		return nil
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case m, ok := <-messages.Messages():
			if !ok {
				return commit()
			}
			if n == 0 {
				if err := p.BeginTxn(); err != nil {
					return fmt.Errorf("loop: begin: %w", err)
				}
			}
			p.Input() <- &sarama.ProducerMessage{Topic: h.job.Out, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(work(m.Value))}
			next = m.Offset + 1
			if n++; n == transactionRecords {
				if err := commit(); err != nil {
					return err
				}
			}
		case <-tick.C:
			if err := commit(); err != nil {
				return err
			}
		}
	}
}

// transactionRecords is how many records of a partition a transaction has.
const transactionRecords = 500

// work is what all systems do to a record: next to nothing.
func work(value []byte) []byte { return bytes.ToUpper(value) }
