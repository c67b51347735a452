//go:build realkafka && !race

package chaos_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// createTopics creates topics with the cluster's own number of replicas, and
// waits until each partition has a leader.
func createTopics(ctx context.Context, client *kgo.Client, partitions int32, topics ...string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range topics {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, -1
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = "message.timestamp.type", kmsg.StringPtr("LogAppendTime") // when a record came, not when it was made
		t.Configs = append(t.Configs, c)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("create topic %s: %w", t.Topic, err)
		}
	}
	for {
		ok, err := replicated(ctx, client, 1)
		if ok {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("new topics have no leader: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// replicated reports whether each partition has a leader and so many replicas
// in sync.
func replicated(ctx context.Context, client *kgo.Client, replicas int) (bool, error) {
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
	if err != nil {
		return false, err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || p.Leader < 0 || len(p.ISR) < replicas {
				return false, fmt.Errorf("%s/%d: leader %d, in sync %v", *t.Topic, p.Partition, p.Leader, p.ISR)
			}
		}
	}
	return true, nil
}

// members are the client ids of a group's members, all of which have
// partitions; none while the group rebalances.
func members(ctx context.Context, client *kgo.Client, group string) (map[string]bool, error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	g := resp.Groups[0]
	if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
		return nil, err
	}
	if g.State != "Stable" {
		return nil, fmt.Errorf("the group's state is %s", g.State)
	}
	ids := make(map[string]bool)
	for _, m := range g.Members {
		var a kmsg.ConsumerMemberAssignment
		if err := a.ReadFrom(m.MemberAssignment); err != nil {
			return nil, err
		}
		if len(a.Topics) > 0 {
			ids[m.ClientID] = true
		}
	}
	return ids, nil
}

// transaction is the state of a transactional id, as its coordinator names it.
func transaction(ctx context.Context, client *kgo.Client, id string) (string, error) {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{id}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return "", err
	}
	s := resp.TransactionStates[0]
	return s.State, kerr.ErrorForCode(s.ErrorCode)
}

// standing says how far the group is and what readers see: whether records that
// are missing were never read, or lie behind a transaction that is still open.
func standing(ctx context.Context, client *kgo.Client, in, out string) string {
	admin := kadm.NewClient(client)
	var b strings.Builder
	committed, err := admin.FetchOffsets(ctx, in)
	fmt.Fprintf(&b, "committed (%v):", err)
	committed.Each(func(o kadm.OffsetResponse) { fmt.Fprintf(&b, " %d@%d", o.Partition, o.At) })
	for _, list := range []struct {
		what string
		of   func(context.Context, ...string) (kadm.ListedOffsets, error)
		in   string
	}{{"ends of what is read", admin.ListEndOffsets, in}, {"ends of what is written", admin.ListEndOffsets, out}, {"of that, committed", admin.ListCommittedOffsets, out}} {
		ends, err := list.of(ctx, list.in)
		fmt.Fprintf(&b, "; %s (%v):", list.what, err)
		ends.Each(func(o kadm.ListedOffset) { fmt.Fprintf(&b, " %d@%d", o.Partition, o.Offset) })
	}
	// A transaction that is open in a partition, and not for who coordinates it, hangs.
	set := make(kadm.TopicsSet)
	for p := range int32(partitions) {
		set.Add(out, p)
	}
	open, err := admin.DescribeProducers(ctx, set)
	fmt.Fprintf(&b, "; open transactions (%v):", err)
	open.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset >= 0 {
			fmt.Fprintf(&b, " %+v", p)
		}
	})
	var ids []string
	for slot := range group {
		ids = append(ids, (&job{In: in, Slot: slot}).transactionalID())
	}
	states, err := admin.DescribeTransactions(ctx, ids...)
	fmt.Fprintf(&b, "; transactions (%v):", err)
	for _, s := range states.Sorted() {
		fmt.Fprintf(&b, " %+v", s)
	}
	return b.String()
}
