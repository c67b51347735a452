//go:build !race

package chaos_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/internal/link"
	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// member is a process of the group, as far as the brokers can tell.
type member struct {
	slot int
	link *link.Link
	stop context.CancelFunc
	told atomic.Bool               // to end
	gone atomic.Pointer[time.Time] // since when nothing is heard of it
	done chan struct{}             // closed when it has ended

	mu   sync.Mutex
	sent []kmsg.Key // its requests that have to do with the group's generations and with transactions
}

// note keeps the order of a member's requests.
func (m *member) note(key int16) {
	noted := []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.AddPartitionsToTxn, kmsg.EndTxn}
	if k := kmsg.Key(key); slices.Contains(noted, k) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sent = append(m.sent, k)
	}
}

// requests returns what was noted.
func (m *member) requests() []kmsg.Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.sent)
}

// transactions is the member's transactional id.
func (m *member) transactions() string { return fmt.Sprintf("slot-%d", m.slot) }

// start starts a member. Its slot is what a pod's ordinal is: whoever comes
// after it there has the same transactional id.
func (r *rig) start(slot int) *member {
	r.started++
	id := fmt.Sprintf("member-%d-slot-%d", r.started, slot)
	m := &member{slot: slot, done: make(chan struct{})}
	m.link = &link.Link{Sent: m.note}
	c := &kafka.Cluster{Brokers: r.broker.Addrs(), StartTimeout: 20 * time.Second, Config: func(c *sarama.Config) {
		c.ClientID = id
		c.Net.Proxy.Enable, c.Net.Proxy.Dialer = true, m.link
		c.Net.DialTimeout, c.Net.ReadTimeout, c.Net.WriteTimeout = 2*time.Second, 2*time.Second, 2*time.Second
		group := &c.Consumer.Group
		group.Session.Timeout = sessionTimeout
		group.Heartbeat.Interval = 100 * time.Millisecond
		group.Rebalance.Timeout = 4 * time.Second
		// sarama waits 2 s by itself before it joins again after a sync that was
		// refused, and sends no heartbeat meanwhile: as long as the session here.
		group.Rebalance.Retry.Backoff = 100 * time.Millisecond
		c.Consumer.Retry.Backoff = 100 * time.Millisecond
	}}
	topic := func(name string) stage.Topic[string] {
		return stage.Topic[string]{Name: name, Codec: stage.String()}
	}
	s := &stage.Stage[string, string]{
		Name:           id,
		Source:         source.Kafka(c, topic("in"), "group"),
		Transform:      stage.Map(r.work.do),
		Sink:           sink.Kafka(c, topic("out")),
		Workers:        16,
		MaxInFlight:    inFlight,
		Delivery:       r.delivery,
		CommitInterval: r.commit,
		DrainTimeout:   2 * time.Second,
		Retry:          stage.Retry{Attempts: stage.Forever, Backoff: 5 * time.Millisecond, MaxBackoff: 500 * time.Millisecond},
		Logger:         slog.New(slog.DiscardHandler),
	}
	if os.Getenv("CHAOS_LOG") != "" {
		s.Logger = slog.Default()
		sarama.Logger = log.New(os.Stderr, "SARAMA ", log.Lmicroseconds)
	}
	if r.delivery == stage.ExactlyOnce {
		s.TransactionalID = m.transactions()
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	r.mu.Lock()
	r.all[id] = m
	r.mu.Unlock()
	r.members = append(r.members, m)
	go func() {
		defer close(m.done)
		err := stage.Run(ctx, s)
		m.vanish()
		if err != nil && !m.told.Load() {
			r.failed <- fmt.Errorf("%s: %w", s.Name, err)
		}
	}()
	return m
}

func (m *member) vanish() {
	now := time.Now()
	m.gone.CompareAndSwap(nil, &now)
}

// kill ends a member as kill -9 does: the brokers hear nothing of it but that
// its connections end. It returns 1 if it had any.
func (r *rig) kill(m *member) int {
	m.told.Store(true)
	conns := m.link.Kill()
	m.vanish()
	m.stop()
	r.drop(m)
	return min(conns, 1)
}

// leave ends a member in good order.
func (r *rig) leave(m *member) {
	m.told.Store(true)
	m.stop()
	<-m.done
	r.drop(m)
}

func (r *rig) drop(m *member) {
	r.members = slices.DeleteFunc(slices.Clone(r.members), func(other *member) bool { return other == m })
}

// anyone picks a member by the dice.
func (r *rig) anyone() *member { return r.members[r.rng.IntN(len(r.members))] }
