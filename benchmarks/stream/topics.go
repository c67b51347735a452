package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// broker is the Kafka that is measured on, by another client than the ones
// that are measured.
type broker struct {
	addrs  []string
	client *kgo.Client
	admin  *kadm.Client
}

func dial(addrs []string) (*broker, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return &broker{addrs: addrs, client: client, admin: kadm.NewClient(client)}, nil
}

func (b *broker) close() { b.client.Close() }

// create makes a topic whose records bear the time at which the broker has
// appended them.
func (b *broker) create(ctx context.Context, topic string, partitions int32) error {
	appended := "LogAppendTime"
	_, err := b.admin.CreateTopic(ctx, partitions, -1, map[string]*string{"message.timestamp.type": &appended}, topic)
	if err != nil {
		return fmt.Errorf("stream: create %s: %w", topic, err)
	}
	for {
		if _, err = b.ends(ctx, topic); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // a young partition has no leader at once
	}
}

func (b *broker) remove(ctx context.Context, topics ...string) error {
	if _, err := b.admin.DeleteTopics(ctx, topics...); err != nil {
		return fmt.Errorf("stream: delete %v: %w", topics, err)
	}
	return nil
}

// ends returns how long a topic is, a transaction's markers counted.
func (b *broker) ends(ctx context.Context, topic string) (n int64, err error) {
	offsets, err := b.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("stream: length of %s: %w", topic, err)
	}
	offsets.Each(func(o kadm.ListedOffset) {
		n += o.Offset
		if err == nil {
			err = o.Err
		}
	})
	return n, err
}

// fill writes records with values of a size, spread over keys; partition by
// partition as Java's clients do.
func (b *broker) fill(ctx context.Context, topic string, records, size, keys int) error {
	rng := rand.New(rand.NewPCG(1, 2))
	var first error
	for i := range records {
		value := make([]byte, size)
		for j := range value {
			value[j] = 'a' + byte(rng.Uint32()%26)
		}
		copy(value, fmt.Sprintf("%09d", i))
		b.client.Produce(ctx, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%05d", rng.IntN(keys)), Value: value}, func(_ *kgo.Record, err error) {
			if first == nil {
				first = err
			}
		})
	}
	if err := b.client.Flush(ctx); err != nil {
		return fmt.Errorf("stream: fill %s: %w", topic, err)
	}
	return first
}

// contents is what a reader of committed records finds in a topic.
type contents struct {
	records     int
	different   int // by the number in the value
	first, last time.Time
}

// read reads a whole topic of n records or more.
func (b *broker) read(ctx context.Context, topic string, n int) (c contents, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(b.addrs...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond),
	)
	if err != nil {
		return c, fmt.Errorf("stream: %w", err)
	}
	defer client.Close()
	seen := make(map[string]bool, n)
	for quiet := 0; quiet < 2; quiet++ {
		wait, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		fetches := client.PollFetches(wait)
		cancel()
		if ctx.Err() != nil {
			return c, fmt.Errorf("stream: read %s: %w", topic, ctx.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			quiet = 0
			c.records++
			seen[string(r.Value[:9])] = true
			if c.first.IsZero() || r.Timestamp.Before(c.first) {
				c.first = r.Timestamp
			}
			if r.Timestamp.After(c.last) {
				c.last = r.Timestamp
			}
		})
		if len(seen) < n {
			quiet = 0
		}
	}
	c.different = len(seen)
	return c, nil
}
