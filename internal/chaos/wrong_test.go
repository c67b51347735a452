//go:build !race

package chaos_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/internal/witness"
	"github.com/millrace-go/millrace/stage"
)

// The oracle must find what is wrong with programs that look right. Each of
// these copies "in" to "out" with sarama alone.

// wrongMember joins the group with a handler until the returned function ends
// it.
func (r *rig) wrongMember(strategy sarama.BalanceStrategy, claim func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error) (stop func()) {
	cfg := sarama.NewConfig()
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	cfg.Consumer.Offsets.AutoCommit.Enable = false
	cfg.Consumer.MaxWaitTime = 50 * time.Millisecond // for which heartbeats wait, too
	cfg.Consumer.Group.Session.Timeout = 3 * time.Second
	cfg.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond
	cfg.Consumer.Group.Rebalance.Timeout = 5 * time.Second
	cfg.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	group, err := sarama.NewConsumerGroup(r.broker.Addrs(), "group", cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var gone sync.WaitGroup
	gone.Go(func() {
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{"in"}, handler(claim)); err != nil {
				r.t.Log("consume:", err)
				time.Sleep(100 * time.Millisecond)
			}
		}
	})
	return func() {
		cancel()
		_ = group.Close()
		gone.Wait()
	}
}

type handler func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error

func (handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h handler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	return h(s, c)
}

// producer writes one by one, in transactions if id is not empty.
func (r *rig) producer(id string) sarama.SyncProducer {
	cfg := sarama.NewConfig()
	cfg.Net.MaxOpenRequests = 1
	cfg.Producer.Idempotent = true
	cfg.Producer.RequiredAcks = sarama.WaitForAll
	cfg.Producer.Return.Successes = true
	cfg.Producer.Partitioner = sarama.NewMurmur2Partitioner
	cfg.Producer.Transaction.ID = id
	p, err := sarama.NewSyncProducer(r.broker.Addrs(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func copyOf(m *sarama.ConsumerMessage) *sarama.ProducerMessage {
	return &sarama.ProducerMessage{Topic: "out", Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value)}
}

// verdict waits until nothing more comes out.
func (r *rig) verdict(name string) witness.Verdict {
	begun := time.Now()
	var last witness.Verdict
	for same := 0; same < 15; {
		time.Sleep(100 * time.Millisecond)
		v, _, err := witness.Judge(r.t.Context(), r.feed, "out")
		if err != nil {
			r.t.Fatal(err)
		}
		if same++; v != last || v.Lost == v.Sent {
			same = 0
		}
		last = v
		if v.Lost == 0 {
			break
		}
	}
	fmt.Println(last.Line(name, 1, time.Since(begun)))
	return last
}

// TestOracleSeesCommitsBeforeTheWork: offsets are committed when a record is
// read, and its result is written later; then the process dies.
func TestOracleSeesCommitsBeforeTheWork(t *testing.T) {
	r := newRig(t, stage.AtLeastOnce)
	run := func(dead *atomic.Bool) (stop func()) {
		p := r.producer("")
		var working sync.WaitGroup
		leave := r.wrongMember(sarama.NewBalanceStrategyCooperativeSticky(), func(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
			for m := range c.Messages() {
				s.MarkMessage(m, "")
				s.Commit()
				working.Go(func() {
					time.Sleep(100 * time.Millisecond) // the work
					if !dead.Load() {
						_, _, _ = p.SendMessage(copyOf(m))
					}
				})
			}
			return nil
		})
		return func() { leave(); working.Wait(); _ = p.Close() }
	}
	if err := r.feed.Send(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	var dead, alive atomic.Bool
	stop := run(&dead)
	for r.broker.End(t, "out") < 100 {
		time.Sleep(time.Millisecond)
	}
	dead.Store(true)
	stop()
	defer run(&alive)()
	if v := r.verdict("wrong-commits-before-the-work"); v.Lost == 0 {
		t.Errorf("%+v: the oracle sees nothing wrong", v)
	}
}

// TestOracleSeesLateMarks: a claim ends while its records are in the hands of
// goroutines that outlive it, and one of them marks what it finished, which
// lies behind what others have not. It is the highest offset that counts.
func TestOracleSeesLateMarks(t *testing.T) {
	r := newRig(t, stage.AtLeastOnce)
	run := func() (stop func()) {
		p := r.producer("")
		var late sync.WaitGroup
		leave := r.wrongMember(sarama.NewBalanceStrategyCooperativeSticky(), func(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
			for m := range c.Messages() {
				late.Go(func() {
					if m.Offset%10 == 3 { // some take their time
						time.Sleep(3 * time.Second)
						if s.Context().Err() != nil {
							return // somebody else does it, surely
						}
					}
					_, _, _ = p.SendMessage(copyOf(m))
					s.MarkMessage(m, "")
					s.Commit()
				})
				time.Sleep(time.Millisecond)
			}
			return nil
		})
		return func() { leave(); late.Wait(); _ = p.Close() }
	}
	if err := r.feed.Send(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	stop := run()
	for r.broker.End(t, "out") < 200 {
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	defer run()()
	if v := r.verdict("wrong-late-marks"); v.Lost == 0 {
		t.Errorf("%+v: the oracle sees nothing wrong", v)
	}
}

// TestOracleSeesResetThatDoesNotSeek is the way that sarama's own example of
// exactly once takes: after an abort it resets the offset and goes on with the
// next message.
func TestOracleSeesResetThatDoesNotSeek(t *testing.T) {
	r := newRig(t, stage.ExactlyOnce)
	if err := r.feed.Send(t.Context(), 400); err != nil {
		t.Fatal(err)
	}
	p := r.producer("example")
	defer func() { _ = p.Close() }()
	var one sync.Mutex
	aborts := 0
	h := r.broker.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: 3})
	defer h.Remove()
	defer r.wrongMember(sarama.NewBalanceStrategyRange(), func(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
		for m := range c.Messages() {
			one.Lock()
			err := p.BeginTxn()
			if err == nil {
				_, _, err = p.SendMessage(copyOf(m))
			}
			if err == nil {
				err = p.AddMessageToTxn(m, "group", nil)
			}
			if err == nil {
				err = p.CommitTxn()
			}
			if err != nil {
				aborts++
				_ = p.AbortTxn()
				s.ResetOffset(m.Topic, m.Partition, m.Offset, "")
			}
			one.Unlock()
		}
		return nil
	})()
	v := r.verdict("wrong-reset-does-not-seek")
	if h.Hits() == 0 || aborts == 0 {
		t.Fatalf("%d faults, %d aborts: nothing went wrong", h.Hits(), aborts)
	}
	if v.Lost == 0 {
		t.Errorf("%+v: the oracle sees nothing wrong after %d aborts", v, aborts)
	}
}
