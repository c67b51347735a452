package source

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
)

// claim is a claim of partition 0 of a group that has committed nothing.
type claim struct {
	sarama.ConsumerGroupSession
	sarama.ConsumerGroupClaim
	ctx      context.Context
	messages chan *sarama.ConsumerMessage
}

func (c *claim) Context() context.Context                 { return c.ctx }
func (c *claim) Topic() string                            { return "in" }
func (c *claim) Partition() int32                         { return 0 }
func (c *claim) InitialOffset() int64                     { return sarama.OffsetOldest }
func (c *claim) Messages() <-chan *sarama.ConsumerMessage { return c.messages }

// TestPauseEndsWithItsClaim: sarama would keep it for the next one.
func TestPauseEndsWithItsClaim(t *testing.T) {
	group := &pausing{paused: make(map[int32]bool)}
	r := &groupReader{group: group, lanes: make(map[*claimLane]struct{}), woken: make(chan struct{}, 1)}
	c := &claim{ctx: t.Context(), messages: make(chan *sarama.ConsumerMessage, 2*queueRecords)}
	for range cap(c.messages) {
		c.messages <- &sarama.ConsumerMessage{Topic: "in"}
	}
	ended := make(chan error)
	go func() { ended <- r.ConsumeClaim(c, c) }()
	for paused := false; !paused; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		paused = group.paused[0]
		r.mu.Unlock()
	}
	close(c.messages)
	if err := <-ended; err != nil || group.paused[0] || len(r.line)+len(r.lanes) != 0 {
		t.Errorf("%v; paused: %v, %d lanes in line, %d known", err, group.paused[0], len(r.line), len(r.lanes))
	}
}

// TestClaimEndsAfterACommitThatHasBegun: that may hold a mark of it, and must
// not arrive behind the next member's.
func TestClaimEndsAfterACommitThatHasBegun(t *testing.T) {
	r := &groupReader{group: &pausing{}, lanes: make(map[*claimLane]struct{}), woken: make(chan struct{}, 1)}
	c := &claim{ctx: t.Context(), messages: make(chan *sarama.ConsumerMessage)}
	close(c.messages)
	var committed atomic.Bool
	r.commits.Lock()
	after := make(chan bool)
	go func() {
		_ = r.ConsumeClaim(c, c)
		after <- committed.Load()
	}()
	time.Sleep(20 * time.Millisecond) // time to end too early
	committed.Store(true)
	r.commits.Unlock()
	if !<-after {
		t.Error("the claim ended in the middle of a commit")
	}
}

// TestOnlyALastingQueuePauses: what the stage takes in time is worth no pause,
// which sarama may notice the end of only much later.
func TestOnlyALastingQueuePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience = 50 * time.Millisecond
		group := &pausing{paused: make(map[int32]bool)}
		r := &groupReader{group: group, patience: patience, woken: make(chan struct{}, 1)}
		l := &claimLane{reader: r, topic: "in", shorter: make(chan struct{}, 1)}
		l.shorter <- struct{}{} // it was short before
		long := func() {
			if r.enqueue(l, make([]stage.Raw, 1)) || !r.enqueue(l, make([]stage.Raw, queueRecords)) {
				t.Fatal("only the second made it long")
			}
		}
		take := func() {
			if _, err := r.poll(); err != nil {
				t.Fatal(err)
			}
		}
		held := make(chan struct{})
		hold := func(ctx context.Context) { r.hold(ctx, l); held <- struct{}{} }

		long()
		go hold(t.Context())
		time.Sleep(patience - 1)
		take()
		if <-held; group.paused[0] {
			t.Error("paused, although the queue became short in time")
		}
		take()

		long()
		begun := time.Now()
		go hold(t.Context())
		if <-held; !group.paused[0] || time.Since(begun) != patience {
			t.Errorf("paused: %v after %v, want it after %v", group.paused[0], time.Since(begun), patience)
		}
		take()
		if take(); group.paused[0] {
			t.Error("an empty queue is still paused")
		}

		long()
		ctx, revoke := context.WithCancel(t.Context())
		revoke()
		go hold(ctx)
		if <-held; group.paused[0] {
			t.Error("a claim that ends is paused")
		}
	})
}
