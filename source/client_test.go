package source_test

import (
	"context"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/stage/kafkatest"
)

// TestIdleBrokersDoNotDelayTheGroup: with sarama's usual client, the leader
// waits for the fetches of all brokers, twice, before it hands out partitions:
// 6 s here. A session is over by then, and the group starts again, and again.
func TestIdleBrokersDoNotDelayTheGroup(t *testing.T) {
	b, err := kafkatest.New(kafkatest.Options{Nodes: 12, Config: func(c *sarama.Config) {
		c.Consumer.Group.Session.Timeout = 2 * time.Second
		c.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	for _, topic := range []string{"in", "out"} {
		if err := b.CreateTopic(topic, 24); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fetches := b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "in", Observe: true, Count: -1})
	for n := 1; n <= 2; n++ {
		defer start(t, copier(b.Cluster()))()
		stable(ctx, t, b, n, 24)
		if err := fetches.Wait(ctx, 100); err != nil { // so that all brokers have some
			t.Fatal(err)
		}
	}
}

// stable waits until the group has so many members, which read all partitions.
func stable(ctx context.Context, t *testing.T, b *kafkatest.Broker, members, partitions int) {
	t.Helper()
	if info, err := b.Fake().WaitGroupInfo(ctx, "group", func(g *kfake.GroupInfo) bool {
		return g != nil && g.State == "Stable" && len(g.Members) == members && g.NumAssigned() == partitions
	}); err != nil {
		t.Fatalf("no stable group of %d: %v: %+v", members, err, info)
	}
}
