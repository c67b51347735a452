//go:build !race

package sink_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// TestTopicsOfATransactionGoTogether: two sinks and the dead letters, and the
// producer dies between them, wherever that may be. What is published is
// whole: it is what comes of the records below the committed offset, in all
// topics, and nothing else. The next run does the rest.
func TestTopicsOfATransactionGoTogether(t *testing.T) {
	for name, fault := range map[string]kfake.Fault{
		"the second sink's topic can't be added": {Keys: []kmsg.Key{kmsg.AddPartitionsToTxn}, Topic: "lengths", TxnID: "together", Err: kerr.ProducerFenced},
		"nor be written":                         {Keys: []kmsg.Key{kmsg.Produce}, Topic: "lengths", Err: kerr.InvalidProducerEpoch},
		"the dead letters can't be written":      {Keys: []kmsg.Key{kmsg.Produce}, Topic: "dead", Err: kerr.InvalidProducerEpoch},
		"the offsets can't be added":             {Keys: []kmsg.Key{kmsg.AddOffsetsToTxn}, TxnID: "together", Err: kerr.ProducerFenced},
		"nor be written, either":                 {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, TxnID: "together", Err: kerr.InvalidProducerEpoch},
		"the transaction can't be ended":         {Keys: []kmsg.Key{kmsg.EndTxn}, TxnID: "together", Err: kerr.ProducerFenced},
	} {
		t.Run(name, func(t *testing.T) { testTogether(t, fault) })
	}
}

func testTogether(t *testing.T, fault kfake.Fault) {
	const records = 500
	b := kafkatest.Start(t, "in", "out", "lengths", "dead")
	var recs []stage.Raw
	for i := range records {
		recs = append(recs, stage.Raw{Key: fmt.Append(nil, i%7), Value: []byte(strings.Repeat("x", i%5) + ":" + strconv.Itoa(i))})
	}
	b.Produce(t, "in", recs...)
	var ended atomic.Int64 // transactions
	b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TxnID: "together", Observe: true, Count: -1, When: func(kmsg.Request) bool {
		ended.Add(1)
		return true
	}})
	fault.Count = -1
	fault.When = func(kmsg.Request) bool { return ended.Load() >= 3 }
	h := b.Fake().Fault(fault)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := stage.Run(ctx, together(impatient(b)))
	if err == nil || !strings.Contains(err.Error(), `"together" was taken over`) || h.Hits() < 6 {
		t.Fatalf("after %d faults: %v", h.Hits(), err)
	}
	if n := whole(t, b); n == 0 || n == records {
		t.Errorf("%d records are done, want some", n)
	}
	h.Remove()
	if err := stage.Run(t.Context(), together(impatient(b))); err != nil {
		t.Fatal(err)
	}
	if n := whole(t, b); n != records {
		t.Errorf("%d records are done, want %d", n, records)
	}
}

// together passes every record on but each tenth, and its length.
func together(c *kafka.Cluster) *stage.Stage[string, string] {
	return &stage.Stage[string, string]{
		Source: source.Kafka(c, topic("in"), "group", source.UntilEnd()),
		Transform: stage.Map(func(_ context.Context, v string) (string, error) {
			if strings.HasSuffix(v, "0") {
				return "", stage.Permanent(fmt.Errorf("it ends in 0"))
			}
			return v, nil
		}),
		Sink: sink.Tee(
			sink.Kafka(c, topic("out")),
			sink.As(sink.Kafka(c, topic("lengths")), func(v string) string { return fmt.Sprint(len(v)) }),
		),
		DeadLetters: sink.DeadLetters(c, "dead"),
		Delivery:    stage.ExactlyOnce, TransactionalID: "together",
		MaxInFlight:    100, // so that a transaction has at most 50 records
		CommitInterval: 20 * time.Millisecond,
		Retry:          stage.Retry{Backoff: 10 * time.Millisecond},
		Logger:         quiet,
	}
}

// whole holds what is published against the committed offset, and returns that.
func whole(t *testing.T, b *kafkatest.Broker) int64 {
	t.Helper()
	done, _ := b.Committed(t, "group", "in", 0)
	var out, lengths, dead []string
	for i := range int(done) {
		v := strings.Repeat("x", i%5) + ":" + strconv.Itoa(i)
		if i%10 == 0 {
			dead = append(dead, v)
			continue
		}
		out = append(out, v)
		lengths = append(lengths, strconv.Itoa(len(v)))
	}
	for name, want := range map[string][]string{"out": out, "lengths": lengths, "dead": dead} {
		if got := values(b.Consume(t, name, 0)); !slices.Equal(got, want) {
			t.Errorf("%d committed; %s has %d records, want %d", done, name, len(got), len(want))
		}
	}
	return done
}
