package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// admin is a client for what no stage does.
func admin(t *testing.T, c *kafka.Cluster) sarama.ClusterAdmin {
	t.Helper()
	client, err := c.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// mark is what "group" has committed for the first partition of "in".
func mark(t *testing.T, a sarama.ClusterAdmin) stage.Mark {
	t.Helper()
	resp, err := a.ListConsumerGroupOffsets("group", map[string][]int32{"in": {0}})
	if errors.Is(err, sarama.ErrGroupIDNotFound) {
		return stage.Mark{Offset: -1}
	}
	if err != nil {
		t.Fatal(err)
	}
	b := resp.GetBlock("in", 0)
	return stage.Mark{Offset: b.Offset, Done: b.Metadata}
}

// await waits for something that comes without a signal.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

// TestRestartDoesOnlyWhatWasNotFinished: the first record never ends, fifty
// behind it do, in two helpings, so that two commits say it at the same
// offset. The next run does the first record only.
func TestRestartDoesOnlyWhatWasNotFinished(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	a := admin(t, b.Cluster())
	produce := func(from, to int) {
		for i := from; i < to; i++ {
			b.Produce(t, "in", raw(fmt.Sprint("key", i), fmt.Sprint("value", i)))
		}
	}
	var calls atomic.Int64
	s := copier(b.Cluster())
	s.CommitInterval = 20 * time.Millisecond
	s.DrainTimeout = 100 * time.Millisecond
	s.Transform = stage.Map(func(ctx context.Context, v string) (string, error) {
		calls.Add(1)
		if v == "value0" {
			<-ctx.Done()
			return "", ctx.Err()
		}
		return v, nil
	})
	produce(0, 20)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- stage.Run(ctx, s) }()
	first := func() string { return mark(t, a).Done }
	await(t, "a commit of what is done above the mark", func() bool { return first() != "" && calls.Load() == 20 })
	b.Await(t, "out", 19)
	seen := first()
	produce(20, 51)
	b.Await(t, "out", 50)
	await(t, "a second commit at the same offset", func() bool { return first() != seen })
	stop()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "1 records were not finished") {
		t.Fatalf("error %v; want that one record was not finished", err)
	}
	if m := mark(t, a); m.Offset != 0 || len(m.Done) > 4095 {
		t.Fatalf("committed %+v; want offset 0", m)
	}

	calls.Store(0)
	s = copier(b.Cluster(), source.UntilEnd())
	s.Transform = stage.Map(func(_ context.Context, v string) (string, error) {
		calls.Add(1)
		return v, nil
	})
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if calls.Load() != 1 {
		t.Errorf("the next run did %d records, want the one that was not finished", calls.Load())
	}
	if got := values(b.Consume(t, "out", 51)); len(got) != 51 || got[50] != "value0" {
		t.Errorf("%d records written, the last %q", len(got), got[len(got)-1])
	}
	if m := mark(t, a); m != (stage.Mark{Offset: 51}) {
		t.Errorf("committed %+v, want just 51", m)
	}
}

// TestForeignMetadataIsIgnored: another program commits for the group with a
// note of its own.
func TestForeignMetadataIsIgnored(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	b.Produce(t, "in", raw("a", "1"), raw("b", "2"), raw("c", "3"))
	_, err := admin(t, b.Cluster()).AlterConsumerGroupOffsets("group", map[string]map[int32]sarama.OffsetAndMetadata{
		"in": {0: {Offset: 1, LeaderEpoch: -1, Metadata: "host-7, 12:30"}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := copier(b.Cluster(), source.UntilEnd())
	s.Logger = slog.New(slog.NewTextHandler(&log, nil))
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(slices.Values(values(b.Consume(t, "out", 2)))) // different keys have no order
	if fmt.Sprint(got) != "[2 3]" {
		t.Errorf("written %q", got)
	}
	if !strings.Contains(log.String(), "another program") {
		t.Errorf("no warning:\n%s", &log)
	}
}
