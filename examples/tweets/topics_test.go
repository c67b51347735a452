package main

import (
	"testing"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
	"github.com/millrace-go/millrace/stage/kafka"
)

// topics are those of -topics' default.
func topics() flow.Topics { return flow.TopicsOf("tweets") }

// dial connects to a broker that is a process of its own, for a look from
// outside at what the parts do there.
func dial(t *testing.T, address string) sarama.Client {
	t.Helper()
	client, err := (&kafka.Cluster{Brokers: []string{address}}).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// ends is where each partition of a topic ends, that is, how many records it
// has had.
func ends(t *testing.T, client sarama.Client, topic string) []int64 {
	t.Helper()
	partitions, err := client.Partitions(topic)
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]int64, len(partitions))
	for _, p := range partitions {
		if ends[p], err = client.GetOffset(topic, p, sarama.OffsetNewest); err != nil {
			t.Fatal(err)
		}
	}
	return ends
}

func end(t *testing.T, client sarama.Client, topic string) (n int64) {
	t.Helper()
	for _, e := range ends(t, client, topic) {
		n += e
	}
	return n
}

// producers tells how many records of a topic each producer wrote. The broker
// gives every process that produces an id of its own, which its batches bear.
func producers(t *testing.T, client sarama.Client, topic string) map[int64]int64 {
	t.Helper()
	wrote := make(map[int64]int64)
	for p, end := range ends(t, client, topic) {
		p := int32(p)
		leader, err := client.Leader(topic, p)
		if err != nil {
			t.Fatal(err)
		}
		const most = 16 << 20 // bytes, far above what a test writes
		request := &sarama.FetchRequest{Version: 4, MaxBytes: most}
		request.AddBlock(topic, p, 0, most, -1)
		response, err := leader.Fetch(request)
		if err != nil {
			t.Fatal(err)
		}
		block := response.GetBlock(topic, p)
		if block == nil || block.Err != sarama.ErrNoError {
			t.Fatalf("fetch %s/%d: %+v", topic, p, block)
		}
		for _, records := range block.RecordsSet {
			n := int64(len(records.RecordBatch.Records))
			wrote[records.RecordBatch.ProducerID] += n
			end -= n
		}
		if end != 0 {
			t.Fatalf("fetch %s/%d: %d records less than it has", topic, p, end)
		}
	}
	return wrote
}

// members tells how many partitions of the topic each member of a group has.
func members(t *testing.T, client sarama.Client, group, topic string) (shares []int) {
	t.Helper()
	coordinator, err := client.Coordinator(group)
	if err != nil {
		t.Fatal(err)
	}
	response, err := coordinator.DescribeGroups(&sarama.DescribeGroupsRequest{Groups: []string{group}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range response.Groups[0].Members {
		assignment, err := m.GetMemberAssignment()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if assignment != nil {
			n = len(assignment.Topics[topic])
		}
		shares = append(shares, n)
	}
	return shares
}
