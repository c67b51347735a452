//go:build realkafka && !race

package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage/kafka"
)

// loop is what a stage is held against: a careful program without the library.
// It passes records on by an asynchronous producer, marks an offset when all
// below it are acknowledged, and survives an outage.
func (j *job) loop(ctx context.Context) error {
	c := &kafka.Cluster{Brokers: j.Brokers, Config: j.config}
	producerConfig, err := c.ProducerConfig() // acks, idempotence and retries as a stage has them
	if err != nil {
		return err
	}
	consumerConfig, err := c.ConsumerConfig(sarama.OffsetOldest)
	if err != nil {
		return err
	}
	consumerConfig.Consumer.Offsets.AutoCommit.Enable = true
	consumerConfig.Consumer.Offsets.AutoCommit.Interval = 50 * time.Millisecond
	producer, err := sarama.NewAsyncProducer(j.Brokers, producerConfig)
	if err != nil {
		return err
	}
	group, err := sarama.NewConsumerGroup(j.Brokers, j.In, consumerConfig)
	if err != nil {
		return errors.Join(err, producer.Close())
	}
	var hearing sync.WaitGroup
	hearing.Go(func() {
		for m := range producer.Successes() {
			m.Metadata.(func())()
		}
	})
	hearing.Go(func() {
		for e := range producer.Errors() { // nothing marks it, so another run must read it again
			fmt.Fprintln(os.Stderr, "loop: not written:", e.Err)
			os.Exit(1)
		}
	})
	hearing.Go(func() {
		for range group.Errors() { // an outage brings hundreds
		}
	})
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{j.In}, handler(j.copyTo(producer))); err != nil && ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
	err = group.Close()
	err = errors.Join(err, producer.Close())
	hearing.Wait()
	return err
}

// copyTo writes a claim's messages and marks what is acknowledged without a
// gap.
func (j *job) copyTo(p sarama.AsyncProducer) func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error {
	return func(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
		var mu sync.Mutex
		var open []*sarama.ConsumerMessage // in order; from the first that is not acknowledged on
		acked := make(map[int64]bool)
		for {
			select {
			case m, ok := <-c.Messages():
				if !ok {
					return nil
				}
				mu.Lock()
				open = append(open, m)
				mu.Unlock()
				out := &sarama.ProducerMessage{Topic: j.Out, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value)}
				out.Metadata = func() {
					mu.Lock()
					defer mu.Unlock()
					acked[m.Offset] = true
					for len(open) > 0 && acked[open[0].Offset] {
						delete(acked, open[0].Offset)
						s.MarkMessage(open[0], "")
						open = open[1:]
					}
				}
				p.Input() <- out
			case <-s.Context().Done():
				return nil
			}
		}
	}
}
