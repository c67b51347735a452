//go:build !race

// sarama's transaction manager writes its last error under one lock and reads
// it without: with -race every transaction that fails would fail the test. The
// engine is under -race in stage's own tests.

package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/chaos"
	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// rig is a broker, a topic that is fed, and members of a group that pass its
// records on.
type rig struct {
	t        *testing.T
	broker   *kafkatest.Broker
	delivery stage.Delivery
	rng      *rand.Rand
	feed     *chaos.Feed
	members  []*member
	started  int
	calls    atomic.Int64 // of transforms
	faults   int
	failed   chan error // members that ended by themselves
}

const partitions = 4

func newRig(t *testing.T, delivery stage.Delivery) *rig {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	b, err := kafkatest.New(kafkatest.Options{Nodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	for _, topic := range []string{"in", "out"} {
		if err := b.CreateTopic(topic, partitions); err != nil {
			t.Fatal(err)
		}
	}
	r := &rig{
		t: t, broker: b, delivery: delivery, rng: rand.New(rand.NewPCG(seed, 0)),
		feed:   &chaos.Feed{Brokers: b.Addrs(), Topic: "in", Keys: 50},
		failed: make(chan error, 100),
	}
	t.Cleanup(r.feed.Close)
	return r
}

// member is a process of the group, as far as the brokers can tell.
type member struct {
	slot int
	link *chaos.Link
	stop context.CancelFunc
	dead atomic.Bool // was told to end
	done chan struct{}
}

// start starts a member. Its slot is what a pod's ordinal is: whoever comes
// after it there has the same transactional id.
func (r *rig) start(slot int) *member {
	r.started++
	link := &chaos.Link{}
	c := &kafka.Cluster{Brokers: r.broker.Addrs(), StartTimeout: 20 * time.Second, Config: func(c *sarama.Config) {
		c.Net.Proxy.Enable, c.Net.Proxy.Dialer = true, link
		c.Net.DialTimeout, c.Net.ReadTimeout, c.Net.WriteTimeout = 2*time.Second, 2*time.Second, 2*time.Second
		c.Consumer.Group.Session.Timeout = 2 * time.Second
		c.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond
		c.Consumer.Group.Rebalance.Timeout = 5 * time.Second
	}}
	topic := func(name string) stage.Topic[string] {
		return stage.Topic[string]{Name: name, Codec: stage.String()}
	}
	s := &stage.Stage[string, string]{
		Name:   fmt.Sprintf("member %d (%d)", slot, r.started),
		Source: source.Kafka(c, topic("in"), "group"),
		Transform: stage.Map(func(_ context.Context, v string) (string, error) {
			n := r.calls.Add(1)
			time.Sleep(time.Duration(n%4) * time.Millisecond)
			if n%200 == 0 {
				return "", errors.New("not this time")
			}
			return v, nil
		}),
		Sink:           sink.Kafka(c, topic("out")),
		Workers:        16,
		Delivery:       r.delivery,
		CommitInterval: 50 * time.Millisecond,
		DrainTimeout:   2 * time.Second,
		Retry:          stage.Retry{Attempts: stage.Forever, Backoff: 5 * time.Millisecond, MaxBackoff: 500 * time.Millisecond},
		Logger:         slog.New(slog.DiscardHandler),
	}
	if testing.Verbose() && os.Getenv("CHAOS_LOG") != "" {
		s.Logger = slog.Default()
		sarama.Logger = log.New(os.Stderr, "SARAMA ", log.Lmicroseconds)
	}
	if r.delivery == stage.ExactlyOnce {
		s.TransactionalID = fmt.Sprintf("slot-%d", slot)
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &member{slot: slot, link: link, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		if err := stage.Run(ctx, s); err != nil && !m.dead.Load() {
			r.failed <- fmt.Errorf("%s: %w", s.Name, err)
		}
	}()
	r.members = append(r.members, m)
	return m
}

// stable waits until the group has all its members. kfake never expires one
// that dies while it joins, and the group then waits for it for ever; a real
// broker's group does not.
func (r *rig) stable() {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if _, err := r.broker.Fake().WaitGroupStable(ctx, "group", len(r.members)); err != nil {
		r.t.Fatalf("the group does not get stable: %v: %+v", err, r.broker.Fake().GroupInfo("group"))
	}
}

// kill ends a member as kill -9 does: the brokers hear nothing of it.
func (r *rig) kill(m *member) {
	m.dead.Store(true)
	m.link.Kill()
	m.stop()
	r.faults++
	r.drop(m)
}

// leave ends a member in good order.
func (r *rig) leave(m *member) {
	m.dead.Store(true)
	m.stop()
	<-m.done
	r.drop(m)
}

func (r *rig) drop(m *member) {
	for i, other := range r.members {
		if other == m {
			r.members = append(r.members[:i:i], r.members[i+1:]...)
			return
		}
	}
}

func (r *rig) any() *member { return r.members[r.rng.IntN(len(r.members))] }

// scenario feeds records while disturb breaks something, each round anew; then
// it waits until all records came out, or nothing more comes, and judges.
func (r *rig) scenario(name string, rounds, perRound int, disturb func(round int)) chaos.Verdict {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Minute)
	defer cancel()
	begun := time.Now()
	for i := range 3 {
		r.start(i)
		r.stable()
	}
	for round := range rounds {
		var feeding sync.WaitGroup
		feeding.Go(func() {
			for range 10 {
				if err := r.feed.Send(ctx, perRound/10); err != nil {
					r.t.Error(err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		disturb(round)
		feeding.Wait()
	}
	r.settle(ctx)
	select {
	case err := <-r.failed:
		r.t.Errorf("a member stopped by itself: %v", err)
	default:
	}
	for _, m := range append([]*member(nil), r.members...) {
		r.leave(m)
	}
	v, err := chaos.Judge(ctx, r.feed, "out")
	if err != nil {
		r.t.Fatal(err)
	}
	fmt.Println(v.Line(name+" "+strings.ToLower(r.delivery.String()), r.faults, time.Since(begun)))
	return v
}

// settle waits until all records came out, and gives up after half a minute
// without a new one.
func (r *rig) settle(ctx context.Context) {
	lost, quiet := -1, time.Now()
	for ; time.Since(quiet) < 30*time.Second; time.Sleep(300 * time.Millisecond) {
		v, err := chaos.Judge(ctx, r.feed, "out")
		if err != nil {
			r.t.Fatal(err)
		}
		if v.Lost == 0 {
			return
		}
		if v.Lost != lost {
			lost, quiet = v.Lost, time.Now()
		}
	}
}

// judge holds the verdict against what the delivery promises. duplicates is
// how many at-least-once delivery may bring for each fault.
func (r *rig) judge(v chaos.Verdict, duplicates int) {
	r.t.Helper()
	if r.faults == 0 {
		r.t.Error("no fault has happened")
	}
	if v.Lost != 0 || v.Reordered != 0 || v.Foreign != 0 {
		r.t.Errorf("%d lost, %d reordered, %d foreign", v.Lost, v.Reordered, v.Foreign)
	}
	if r.delivery == stage.ExactlyOnce && v.Duplicated != 0 {
		r.t.Errorf("%d duplicated", v.Duplicated)
	}
	if most := duplicates * r.faults; v.Duplicated > most {
		r.t.Errorf("%d duplicated, more than %d for each of %d faults", v.Duplicated, duplicates, r.faults)
	}
}
