//go:build !race

// Without -race for the reason in fence_test.go.

package sink_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// goneLane is a lane of a topic that was deleted.
type goneLane struct{ stage.Lane }

func (*goneLane) ID() (string, int32) { return "deleted", 0 }
func (*goneLane) Metadata() *sarama.ConsumerGroupMetadata {
	return &sarama.ConsumerGroupMetadata{GroupID: "group", GenerationID: -1}
}

// TestOffsetsOfADeletedTopic can't be committed, and the transaction says so
// rather than to try for ever: a source that is paused hears nothing of it.
func TestOffsetsOfADeletedTopic(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	admin, err := sarama.NewClusterAdmin(b.Addrs(), sarama.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	// So that there is a group.
	if _, err := admin.AlterConsumerGroupOffsets("group", map[string]map[int32]sarama.OffsetAndMetadata{"in": {0: {LeaderEpoch: -1}}}, nil); err != nil {
		t.Fatal(err)
	}
	s := sink.Kafka(b.Cluster(), topic("out"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := s.Targets[0].Open(ctx, stage.Env{TransactionalID: "gone", Topics: []string{"out"}, Logger: quiet, DrainTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close(t.Context()) }()
	txn := w.(stage.TxnWriter)
	if err := txn.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	txn.Write([]stage.Raw{{Topic: "out", Value: []byte("v")}}, func(_ int, err error) { written <- err })
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	err = txn.Commit(ctx, map[stage.Lane]stage.Mark{&goneLane{}: {Offset: 1}})
	if !stage.IsPermanent(err) || !errors.Is(err, sarama.ErrUnknownTopicOrPartition) || !strings.Contains(err.Error(), `topic "deleted"`) {
		t.Errorf("%v", err)
	}
}
