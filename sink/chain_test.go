//go:build !race

package sink_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/internal/link"
	"github.com/millrace-go/millrace/internal/witness"
	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// chained is a stage of a chain, in a process of its own as far as the broker
// can tell.
type chained struct {
	consumer, producer link.Link
	stop               context.CancelFunc
	done               chan error
	log                syncBuffer
}

// syncBuffer is a buffer to log into.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) has(part string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Contains(b.text.String(), part)
}

// startChained passes records from one topic to the next.
func startChained(b *kafkatest.Broker, from, to string) *chained {
	p := &chained{done: make(chan error, 1)}
	c := b.Cluster()
	c.Config = func(cfg *sarama.Config) {
		cfg.Net.Proxy.Enable, cfg.Net.Proxy.Dialer = true, &p.consumer
		if cfg.Producer.Transaction.ID != "" {
			cfg.Net.Proxy.Dialer = &p.producer
		}
		cfg.Net.DialTimeout, cfg.Net.ReadTimeout, cfg.Net.WriteTimeout = 10*time.Second, 10*time.Second, 10*time.Second
		cfg.Producer.Retry.Backoff, cfg.Metadata.Retry.Backoff = time.Millisecond, time.Millisecond
		cfg.Consumer.Group.Session.Timeout = 2 * time.Second
		cfg.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond
		cfg.Consumer.Group.Rebalance.Timeout = 5 * time.Second
	}
	var calls atomic.Int64
	s := &stage.Stage[string, string]{
		Name:   from + " to " + to,
		Source: source.Kafka(c, topic(from), "readers of "+from),
		Transform: stage.Map(func(_ context.Context, v string) (string, error) {
			n := calls.Add(1)
			time.Sleep(time.Duration(n%3) * time.Millisecond)
			if n%100 == 0 {
				return "", errors.New("not this time")
			}
			return v, nil
		}),
		Sink:     sink.Kafka(c, topic(to)),
		Delivery: stage.ExactlyOnce, TransactionalID: "to " + to,
		Workers:        16,
		CommitInterval: 20 * time.Millisecond,
		DrainTimeout:   2 * time.Second,
		Retry:          stage.Retry{Backoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond, Attempts: stage.Forever},
		Logger:         slog.New(slog.NewTextHandler(&p.log, nil)),
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() { p.done <- stage.Run(ctx, s) }()
	return p
}

// kill ends it as kill -9 does: the broker hears nothing of it.
func (p *chained) kill() {
	p.consumer.Kill()
	p.producer.Kill()
	p.stop()
}

// silence holds up the answer to the end of a transaction, which takes effect,
// for longer than a commit may take.
func (p *chained) silence(b *kafkatest.Broker, id string) *kfake.FaultHandle {
	return b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TxnID: id, Observe: true, Count: 1, When: func(kmsg.Request) bool {
		resume := p.producer.Hang()
		time.AfterFunc(2500*time.Millisecond, resume) // of a budget of 1.5 s
		return true
	}})
}

// TestChain: three exactly-once stages follow each other. The one in the middle
// is killed, fenced, told that it is no member any more, and not told how its
// transactions have ended. A reader of any level sees each record once, and
// those of a key in their order.
func TestChain(t *testing.T) {
	b := kafkatest.Start(t)
	for _, name := range []string{"in", "a", "b", "c"} {
		if err := b.CreateTopic(name, 3); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	feed := &witness.Feed{Brokers: b.Addrs(), Topic: "in", Keys: 20}
	defer feed.Close()
	send := func() {
		if err := feed.Send(ctx, 300); err != nil {
			t.Fatal(err)
		}
	}
	first, middle, last := startChained(b, "in", "a"), startChained(b, "a", "b"), startChained(b, "b", "c")

	send()
	b.Await(t, "c", 100)
	for _, fault := range []kfake.Fault{
		{Keys: []kmsg.Key{kmsg.EndTxn}, TxnID: "to b", Err: kerr.ProducerFenced},
		{Keys: []kmsg.Key{kmsg.AddPartitionsToTxn}, TxnID: "to b", Err: kerr.ProducerFenced},
		{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, TxnID: "to b", Err: kerr.IllegalGeneration},
	} {
		h := b.Fake().Fault(fault)
		send()
		if err := h.Wait(ctx, 1); err != nil {
			t.Fatalf("%v did not happen: %v", fault.Err, err)
		}
	}

	h := middle.silence(b, "to b")
	send()
	if err := h.Wait(ctx, 1); err != nil {
		t.Fatal("no transaction was ended without an answer")
	}
	send()
	for !middle.log.has("has taken effect although its commit failed") {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the outcome of a transaction was not found out:\n%s", &middle.log.text)
		}
	}

	h = b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TxnID: "to b", Observe: true, Count: 1, When: func(kmsg.Request) bool {
		go middle.kill() // as it commits
		return true
	}})
	send()
	if err := h.Wait(ctx, 1); err != nil {
		t.Fatal("the stage in the middle was not killed")
	}
	killed := middle
	middle = startChained(b, "a", "b")
	send()

	awaitAll(ctx, t, feed, "c")
	for _, p := range []*chained{first, middle, last} {
		p.stop()
		if err := <-p.done; err != nil {
			t.Error(err)
		}
	}
	for _, level := range []string{"a", "b", "c"} {
		v, _, err := witness.Judge(ctx, feed, level)
		if err != nil {
			t.Fatal(err)
		}
		if v.Sent != 2400 || v.Lost != 0 || v.Duplicated != 0 || v.Reordered != 0 || v.Foreign != 0 {
			t.Errorf("%s: %+v", level, v)
		}
	}
	if err := <-killed.done; err != nil {
		t.Logf("the one that was killed: %v", err)
	}
}

// awaitAll waits until a topic has got all records.
func awaitAll(ctx context.Context, t *testing.T, feed *witness.Feed, name string) {
	t.Helper()
	for {
		v, _, err := witness.Judge(ctx, feed, name)
		if err != nil {
			t.Fatal(err)
		}
		if v.Lost == 0 {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s: %+v", name, v)
		}
	}
}
