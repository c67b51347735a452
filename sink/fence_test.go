//go:build !race

// sarama's transaction manager writes its last error under one lock and reads
// it without: with -race a transaction that fails while it is written may fail
// the test. make test runs this package a second time without.

package sink_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// impatient is a broker's cluster whose clients try again at once: sarama takes
// a producer that was fenced while it wrote for a bad connection.
func impatient(b *kafkatest.Broker) *kafka.Cluster {
	c := b.Cluster()
	c.Config = func(cfg *sarama.Config) {
		cfg.Producer.Retry.Backoff = time.Millisecond
		cfg.Metadata.Retry.Backoff = time.Millisecond
	}
	return c
}

// TestFencedTooOften: wherever a producer learns that it was fenced, it counts,
// and when it was fenced too often the stage stops and names the id.
func TestFencedTooOften(t *testing.T) {
	for _, at := range []struct {
		key kmsg.Key
		err *kerr.Error
	}{
		{kmsg.AddPartitionsToTxn, kerr.ProducerFenced},
		{kmsg.Produce, kerr.InvalidProducerEpoch},
		{kmsg.AddOffsetsToTxn, kerr.ProducerFenced},
		{kmsg.TxnOffsetCommit, kerr.InvalidProducerEpoch},
		{kmsg.EndTxn, kerr.ProducerFenced},
	} {
		t.Run(at.key.Name(), func(t *testing.T) {
			b := kafkatest.Start(t, "in", "out")
			b.Produce(t, "in", stage.Raw{Value: []byte("1")})
			h := b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{at.key}, Err: at.err, Count: -1, TxnID: txnOf(at.key)})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := stage.Run(ctx, passOn(impatient(b), "in", "out", "mine"))
			if err == nil || !strings.Contains(err.Error(), `transactional id "mine" was taken over 6 times`) {
				t.Errorf("after %d faults: %v", h.Hits(), err)
			}
			if out := b.Consume(t, "out", 0); len(out) != 0 || h.Hits() < 6 {
				t.Errorf("%q published, %d faults", values(out), h.Hits())
			}
		})
	}
}

// txnOf is what a fault on a request selects by, where requests of that kind
// say their transactional id.
func txnOf(key kmsg.Key) string {
	if key == kmsg.Produce {
		return ""
	}
	return "mine"
}

// TestSharedTransactionalID: two processes with one id take it from each other
// without end. They are told, by its name, before long.
func TestSharedTransactionalID(t *testing.T) {
	b := kafkatest.Start(t, "in1", "in2", "out")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error)
	for _, in := range []string{"in1", "in2"} {
		go func() { ended <- stage.Run(ctx, passOn(impatient(b), in, "out", "shared")) }()
	}
	for i := 0; ; i++ {
		for _, in := range []string{"in1", "in2"} {
			b.Produce(t, in, stage.Raw{Value: fmt.Append(nil, in, " ", i)})
		}
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), `transactional id "shared" was taken over`) {
				t.Fatalf("after %d rounds: %v", i, err)
			}
			cancel()
			if err := <-ended; err != nil && !strings.Contains(err.Error(), `"shared"`) {
				t.Error(err)
			}
			return
		case <-time.After(30 * time.Millisecond):
		}
	}
}
