package sink_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// asked is a request that the broker got, as far as this test cares.
type asked struct {
	key        kmsg.Key
	id         string // transactional
	member     string
	generation int32
	partitions []int32
	commit     bool
}

// TestPartitionMovesOutOfAnOpenTransaction: the group checks who commits, and
// in which generation, but not whose the partitions are. So a member whose
// session goes on must end the transaction that holds results of a partition
// before it gives that up, as a member of the new generation; and never commit
// for it again.
func TestPartitionMovesOutOfAnOpenTransaction(t *testing.T) {
	b := kafkatest.Start(t, "out")
	if err := b.CreateTopic("in", 2); err != nil {
		t.Fatal(err)
	}
	produce := func(from int) {
		for i := from; i < from+20; i++ {
			b.Produce(t, "in", stage.Raw{Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)})
		}
	}
	var log []asked // by the broker's own goroutine
	watched := []kmsg.Key{kmsg.JoinGroup, kmsg.TxnOffsetCommit, kmsg.EndTxn}
	watch := b.Fake().Fault(kfake.Fault{Keys: watched, Observe: true, TopLevel: true, Count: -1, When: func(r kmsg.Request) bool {
		a := asked{key: kmsg.Key(r.Key())}
		switch r := r.(type) {
		case *kmsg.JoinGroupRequest:
			a.member = r.MemberID
		case *kmsg.TxnOffsetCommitRequest:
			a.id, a.member, a.generation = r.TransactionalID, r.MemberID, r.Generation
			for _, p := range r.Topics[0].Partitions {
				a.partitions = append(a.partitions, p.Partition)
			}
			slices.Sort(a.partitions)
		case *kmsg.EndTxnRequest:
			a.id, a.commit = r.TransactionalID, r.Commit
		}
		log = append(log, a)
		return true
	}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var seen sync.Map // by a transform: what has begun is finished, whoever stops
	awaitBegun := func(n int) {
		for count := 0; count < n && ctx.Err() == nil; time.Sleep(time.Millisecond) {
			count = 0
			seen.Range(func(any, any) bool { count++; return true })
		}
	}
	start := func(id string) (stop func()) {
		c := b.Cluster()
		c.Config = func(cfg *sarama.Config) { cfg.Consumer.Group.Heartbeat.Interval = 50 * time.Millisecond }
		s := passOn(c, "in", "out", id)
		s.Transform = stage.Map(func(_ context.Context, v string) (string, error) {
			seen.Store(v, true)
			return v, nil
		})
		s.CommitInterval = 4 * time.Second // what ends a transaction here is something else
		ctx, stopped := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- stage.Run(ctx, s) }()
		return func() {
			stopped()
			if err := <-done; err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}

	open := b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.AddPartitionsToTxn}, TxnID: "a", Observe: true, Count: 1})
	produce(0)
	stopA := start("a")
	if err := open.Wait(ctx, 1); err != nil {
		t.Fatal("no transaction was opened")
	}
	awaitBegun(20)
	begun := b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.AddPartitionsToTxn}, TxnID: "b", Observe: true, Count: 1})
	stopB := start("b")
	if _, err := b.Fake().WaitGroupStable(ctx, "group of in", 2); err != nil {
		t.Fatal(err)
	}
	produce(20)
	for b.End(t, "out") < 20 {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("nothing is published")
		}
	}
	produce(40)
	if err := begun.Wait(ctx, 1); err != nil {
		t.Fatal("the other member has no transaction")
	}
	awaitBegun(60)
	stopB()
	stopA()
	watch.Remove()

	is := func(key kmsg.Key, id string) func(asked) bool {
		return func(a asked) bool { return a.key == key && a.id == id }
	}
	first := slices.IndexFunc(log, is(kmsg.TxnOffsetCommit, "a"))
	if first < 0 || !slices.Equal(log[first].partitions, []int32{0, 1}) || log[first].generation < 2 {
		t.Fatalf("no transaction over both partitions in the generation that takes one away: %+v", log)
	}
	a := log[first].member
	ended := first + slices.IndexFunc(log[first:], is(kmsg.EndTxn, "a"))
	givenUp := first + slices.IndexFunc(log[first:], func(r asked) bool { return r.key == kmsg.JoinGroup && r.member == a })
	if ended < first || givenUp < ended {
		t.Errorf("a partition was given up before its transaction had ended: %+v", log)
	}
	theirs := slices.IndexFunc(log, is(kmsg.TxnOffsetCommit, "b"))
	if theirs < givenUp || len(log[theirs].partitions) != 1 {
		t.Fatalf("the other member's first commit: %+v", log)
	}
	for i, r := range log {
		if r.key == kmsg.EndTxn && !r.commit {
			t.Errorf("a transaction was undone: %+v", log)
		}
		if i > givenUp && r.id == "a" && slices.Contains(r.partitions, log[theirs].partitions[0]) {
			t.Errorf("a commit for a partition that has moved: %+v", log)
		}
	}
	got := values(b.Consume(t, "out", 0))
	if slices.Sort(got); len(got) != 60 || len(slices.Compact(got)) != 60 {
		t.Errorf("published %q", got)
	}
}
