package sink_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// TestExactlyOnce: results, a second topic's, and dead letters are published
// with the offsets, and a run goes on where the last one stopped.
func TestExactlyOnce(t *testing.T) {
	b := kafkatest.Start(t, "in", "out", "lengths", "dead")
	c := b.Cluster()
	run := func() {
		t.Helper()
		err := stage.Run(t.Context(), &stage.Stage[string, string]{
			Name:   "exact",
			Source: source.Kafka(c, topic("in"), "group", source.UntilEnd()),
			Transform: stage.Map(func(_ context.Context, s string) (string, error) {
				if strings.HasSuffix(s, "7") {
					return "", stage.Permanent(fmt.Errorf("sevens never work"))
				}
				if strings.HasSuffix(s, "8") {
					return strings.Repeat("x", 2<<20), nil // too large
				}
				return s, nil
			}),
			Sink: sink.Tee(
				sink.Kafka(c, topic("out")),
				sink.As(sink.Kafka(c, topic("lengths")), func(s string) string { return fmt.Sprint(len(s)) }),
			),
			DeadLetters:     sink.DeadLetters(c, "dead"),
			Delivery:        stage.ExactlyOnce,
			TransactionalID: "exact-0",
			Logger:          quiet,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var want, dead []string
	produce := func(from, to int) {
		for i := from; i < to; i++ {
			v := fmt.Sprintf("value %d", i)
			b.Produce(t, "in", stage.Raw{Key: fmt.Append(nil, i%5), Value: []byte(v)})
			if i%10 == 7 || i%10 == 8 {
				dead = append(dead, v)
			} else {
				want = append(want, v)
			}
		}
	}
	for i := range 3 {
		produce(100*i, 100*i+100)
		run()
		if got := values(b.Consume(t, "out", len(want))); !slices.Equal(got, want) {
			t.Fatalf("run %d: %d records published, want %d in their order", i, len(got), len(want))
		}
		if got := values(b.Consume(t, "dead", len(dead))); !slices.Equal(got, dead) {
			t.Errorf("run %d: dead letters %q, want %q", i, got, dead)
		}
		if got := b.Consume(t, "lengths", len(want)); len(got) != len(want) {
			t.Errorf("run %d: %d lengths, want %d", i, len(got), len(want))
		}
		if n, _ := b.Committed(t, "group", "in", 0); n != int64(100*i+100) {
			t.Errorf("run %d: committed %d", i, n)
		}
	}
}

func passOn(c *kafka.Cluster, in, out, id string) *stage.Stage[string, string] {
	return &stage.Stage[string, string]{
		Name:      id,
		Source:    source.Kafka(c, topic(in), "group of "+in),
		Transform: stage.Map(same[string]),
		Sink:      sink.Kafka(c, topic(out)),
		Delivery:  stage.ExactlyOnce, TransactionalID: id,
		CommitInterval: 20 * time.Millisecond,
		Retry:          stage.Retry{Backoff: 10 * time.Millisecond},
		Logger:         quiet,
	}
}

// TestTransactionIsShorterThanItsTimeout: the broker would undo it.
func TestTransactionIsShorterThanItsTimeout(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	s := passOn(b.Cluster(), "in", "out", "mine")
	s.CommitInterval = 5 * time.Second
	if err := stage.Check(t.Context(), s); err == nil || !strings.Contains(err.Error(), "Stage.CommitInterval (5s) must be at most half of Producer.Transaction.Timeout (9s)") {
		t.Error(err)
	}
	s.CommitInterval = 4 * time.Second
	if err := stage.Check(t.Context(), s); err != nil {
		t.Error(err)
	}
}

// TestTransactionIsSettledFirst: a producer with the same id has left a
// transaction open, with offsets in it. It is settled before the committed
// offsets are asked for, and so costs no wait for its time-out.
func TestTransactionIsSettledFirst(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	b.Produce(t, "in", stage.Raw{Value: []byte("1")})
	var asked []kmsg.Key // by the broker's own goroutine
	h := b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID, kmsg.OffsetFetch}, Observe: true, Count: -1, When: func(r kmsg.Request) bool {
		asked = append(asked, kmsg.Key(r.Key()))
		return true
	}})
	s := passOn(b.Cluster(), "in", "out", "mine")
	s.Source = source.Kafka(s.Source.Cluster.(*kafka.Cluster), topic("in"), "group", source.UntilEnd())
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	h.Remove()
	if len(asked) < 2 || asked[0] != kmsg.InitProducerID || !slices.Contains(asked, kmsg.OffsetFetch) {
		t.Errorf("the broker was asked for %v", asked)
	}
}

// TestTransactionalIDIsRefused says so at the start.
func TestTransactionalIDIsRefused(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	h := b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TxnID: "mine", Count: -1, TopLevel: true, Err: kerr.TransactionalIDAuthorizationFailed})
	err := stage.Run(t.Context(), passOn(b.Cluster(), "in", "out", "mine"))
	if err == nil || !strings.Contains(err.Error(), `"mine"`) || !errors.Is(err, sarama.ErrTransactionalIDAuthorizationFailed) || h.Hits() == 0 {
		t.Errorf("after %d faults: %v", h.Hits(), err)
	}
}
