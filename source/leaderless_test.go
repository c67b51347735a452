package source_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// TestPartitionsThatHadNoLeader: a broker that has just come back tells who
// joins that partitions have no leader, by an error that sarama takes for an
// answer. It waits for another one then, but does not ask; only the group's leader
// has reasons to.
func TestPartitionsThatHadNoLeader(t *testing.T) {
	const partitions, members = 4, 2
	b := kafkatest.Start(t)
	for _, topic := range []string{"in", "out"} {
		if err := b.CreateTopic(topic, partitions); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n := 1; n <= members; n++ {
		defer start(t, member(b, quick))()
		stable(ctx, t, b, n, partitions)
	}
	heard, again := leaderless(t, b, "in", partitions)
	b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, Count: members})
	await(t, "all members to join again", func() bool { return heard.Load() >= members })
	again()
	var recs []stage.Raw
	for i := range 40 {
		recs = append(recs, raw(fmt.Sprint("k", i), "v"))
	}
	b.Produce(t, "in", recs...)
	b.Await(t, "out", int64(len(recs)))
}

// leaderless makes the broker say that a topic's partitions have no leader, as
// Kafka does while the broker that leads them has registered and is not admitted
// yet. It counts who has heard that, until again.
func leaderless(t *testing.T, b *kafkatest.Broker, name string, partitions int32) (heard *atomic.Int64, again func()) {
	t.Helper()
	host, port, err := net.SplitHostPort(b.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	heard = new(atomic.Int64)
	var over atomic.Bool
	b.Fake().ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.MetadataRequest)
		if over.Load() {
			return nil, nil, false
		}
		b.Fake().KeepControl()
		if len(req.Topics) != 1 || *req.Topics[0].Topic != name {
			return nil, nil, false
		}
		heard.Add(1)
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host, broker.Port = host, int32(number)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = req.Topics[0].Topic
		for p := range partitions {
			part := kmsg.NewMetadataResponseTopicPartition()
			part.Partition, part.ErrorCode, part.Leader = p, kerr.ListenerNotFound.Code, -1
			topic.Partitions = append(topic.Partitions, part)
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		resp.Brokers, resp.Topics = append(resp.Brokers, broker), append(resp.Topics, topic)
		return resp, nil, true
	})
	return heard, func() { over.Store(true) }
}
