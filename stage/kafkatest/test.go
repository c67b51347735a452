package kafkatest

import (
	"errors"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/message"
	"github.com/millrace-go/millrace/internal/witness"
	"github.com/millrace-go/millrace/stage"
)

// Start is [New] for a test: it creates the topics, with one partition each,
// and closes the broker when the test ends.
func Start(tb testing.TB, topics ...string) *Broker {
	tb.Helper()
	b, err := New(Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.Close)
	for _, t := range topics {
		if err := b.CreateTopic(t, 1); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

// Committed returns the offset that a consumer group has committed for a
// partition, and whether there is one.
func (b *Broker) Committed(tb testing.TB, group, topic string, partition int32) (int64, bool) {
	tb.Helper()
	client, err := b.Cluster().Dial(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = admin.Close() }() // closes client, too
	resp, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {partition}})
	if err != nil {
		tb.Fatal(err)
	}
	block := resp.GetBlock(topic, partition)
	if block == nil || block.Offset < 0 {
		return 0, false
	}
	return block.Offset, true
}

// Produce writes records to a topic, in order, and returns when they are
// acknowledged. Records with a key go where Java's clients put them.
func (b *Broker) Produce(tb testing.TB, topic string, recs ...stage.Raw) {
	tb.Helper()
	cfg, err := b.Cluster().ProducerConfig()
	if err != nil {
		tb.Fatal(err)
	}
	p, err := sarama.NewSyncProducer(b.Addrs(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	msgs := make([]*sarama.ProducerMessage, len(recs))
	for i, r := range recs {
		r.Topic = topic
		msgs[i] = message.ToProducer(&r)
	}
	if err := errors.Join(p.SendMessages(msgs), p.Close()); err != nil {
		tb.Fatal(err)
	}
}

// End returns how many records of a topic a reader can see, transaction
// markers counted.
func (b *Broker) End(tb testing.TB, topic string) (n int64) {
	tb.Helper()
	for _, p := range b.fake.PartitionInfos(topic) {
		n += p.LastStableOffset
	}
	return n
}

// Await waits until a topic holds at least n records, over all partitions.
func (b *Broker) Await(tb testing.TB, topic string, n int64) {
	tb.Helper()
	deadline := time.Now().Add(time.Minute)
	for b.End(tb, topic) < n {
		if time.Now().After(deadline) {
			tb.Fatalf("kafkatest: topic %q holds %d records after a minute, want %d", topic, b.End(tb, topic), n)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-tb.Context().Done():
			tb.Fatal(tb.Context().Err())
		}
	}
}

// Consume waits like [Broker.Await] and returns all that the topic holds then,
// partition by partition.
func (b *Broker) Consume(tb testing.TB, topic string, n int) []stage.Raw {
	tb.Helper()
	b.Await(tb, topic, int64(n))
	recs, err := witness.Read(tb.Context(), b.Addrs(), topic)
	if err != nil {
		tb.Fatal(err)
	}
	return recs
}
