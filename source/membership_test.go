package source_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// wide starts a broker with topics of six partitions.
func wide(t *testing.T, topics ...string) *kafkatest.Broker {
	t.Helper()
	b := kafkatest.Start(t)
	for _, name := range topics {
		if err := b.CreateTopic(name, 6); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// quick makes a member hear of a rebalance soon.
func quick(c *sarama.Config) { c.Consumer.Group.Heartbeat.Interval = 50 * time.Millisecond }

// member is a copier with a config.
func member(b *kafkatest.Broker, config func(*sarama.Config), opts ...source.Option) *stage.Stage[string, string] {
	c := b.Cluster()
	c.Config = config
	s := copier(c, opts...)
	s.Transform = stage.Map(func(_ context.Context, v string) (string, error) { return v, nil })
	return s
}

// flow writes records in rounds, the next number of each of 24 keys, until it
// is stopped; then it returns how many.
func flow(t *testing.T, b *kafkatest.Broker) (stop func() int) {
	t.Helper()
	end, done := make(chan struct{}), make(chan int, 1)
	go func() {
		sent := 0
		for n := 0; ; n++ {
			recs := make([]stage.Raw, 24)
			for k := range recs {
				recs[k] = raw(fmt.Sprint("k", k), strconv.Itoa(n))
			}
			b.Produce(t, "in", recs...)
			sent += len(recs)
			select {
			case <-end:
				done <- sent
				return
			default:
			}
		}
	}()
	return sync.OnceValue(func() int { close(end); return <-done })
}

// reach waits until something has happened so often.
func reach(t *testing.T, count *atomic.Int64, n int64) {
	t.Helper()
	await(t, fmt.Sprint(n), func() bool { return count.Load() >= n })
}

// inOrderOnce reports what is lost, comes twice or out of order within a key.
func inOrderOnce(t *testing.T, recs []stage.Raw, sent int) {
	t.Helper()
	next := make(map[string]int)
	for _, r := range recs {
		n, err := strconv.Atoi(string(r.Value))
		if err != nil {
			t.Fatal(err)
		}
		if want := next[string(r.Key)]; n != want {
			t.Fatalf("%d of %q where %d was due (%d/%d@%d)", n, r.Key, want, len(recs), r.Partition, r.Offset)
		}
		next[string(r.Key)]++
	}
	if len(recs) != sent {
		t.Errorf("%d records, want %d", len(recs), sent)
	}
}

// TestEagerRebalances: with the old strategies all members give up all their
// partitions whenever one comes or goes.
func TestEagerRebalances(t *testing.T) {
	for _, on := range []struct {
		strategy func() sarama.BalanceStrategy
		delivery stage.Delivery
	}{
		{sarama.NewBalanceStrategyRange, stage.AtLeastOnce},
		{sarama.NewBalanceStrategyRange, stage.ExactlyOnce},
		{sarama.NewBalanceStrategyRoundRobin, stage.AtLeastOnce},
	} {
		t.Run(fmt.Sprint(on.strategy().Name(), on.delivery), func(t *testing.T) {
			t.Parallel()
			b := wide(t, "in", "out")
			deliver := func(s *stage.Stage[string, string], id string) {
				if s.Delivery = on.delivery; s.Delivery == stage.ExactlyOnce {
					s.TransactionalID = id
				}
			}
			var tenures atomic.Int64 // of the member that stays
			config := func(c *sarama.Config) {
				quick(c)
				c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{on.strategy()}
			}
			stays := member(b, config)
			stays.Source = counting(stays.Source, &tenures)
			deliver(stays, "stays")
			stopFlow := flow(t, b)
			stop := start(t, stays)
			b.Await(t, "out", 100)
			guest := member(b, config)
			deliver(guest, "guest")
			var made atomic.Int64
			guest.Transform = stage.Map(func(_ context.Context, v string) (string, error) {
				made.Add(1)
				return v, nil
			})
			for range 3 {
				reach(t, &tenures, 6)
				tenures.Store(0)
				made.Store(0)
				leave := start(t, guest)
				reach(t, &made, 100)
				reach(t, &tenures, 3) // begun anew, though they have not moved
				tenures.Store(0)
				leave()
			}
			sent := stopFlow()
			got := b.Consume(t, "out", sent)
			for ; len(got) < sent; time.Sleep(10 * time.Millisecond) { // transactions' markers were counted
				got = b.Consume(t, "out", sent)
			}
			stop()
			inOrderOnce(t, got, sent)
		})
	}
}

// counting counts the lanes that a source delivers.
func counting(src stage.Source[string], lanes *atomic.Int64) stage.Source[string] {
	open := src.Open
	src.Open = func(ctx context.Context, env stage.Env) (stage.Reader, error) {
		r, err := open(ctx, env)
		return &countingReader{Reader: r, lanes: lanes, seen: make(map[stage.Lane]bool)}, err
	}
	return src
}

type countingReader struct {
	stage.Reader
	lanes *atomic.Int64
	seen  map[stage.Lane]bool
}

func (r *countingReader) Read(ctx context.Context) (stage.Batch, error) {
	b, err := r.Reader.Read(ctx)
	if err == nil && !r.seen[b.Lane] {
		r.seen[b.Lane] = true
		r.lanes.Add(1)
	}
	return b, err
}

// static gives a member a name that outlives it.
func static(id string, more ...func(*sarama.Config)) func(*sarama.Config) {
	return settings(append(more, quick, func(c *sarama.Config) { c.Consumer.Group.InstanceId = id })...)
}

func eager(c *sarama.Config) {
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
}

// TestStaticMemberComesBack: within the session's time-out it gets its
// partitions again, and nobody else has lost or got any meanwhile.
func TestStaticMemberComesBack(t *testing.T) {
	for name, more := range map[string]func(*sarama.Config){"cooperative": func(*sarama.Config) {}, "eager": eager} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := wide(t, "in", "out")
			var lanes, mine atomic.Int64
			stays := member(b, static("stays", more))
			stays.Source = counting(stays.Source, &lanes)
			comes := member(b, static("comes", more))
			comes.Transform = stage.Map(func(_ context.Context, v string) (string, error) {
				mine.Add(1)
				return v, nil
			})
			stopFlow := flow(t, b)
			stop := start(t, stays)
			reach(t, &lanes, 6)
			for round := range 3 {
				mine.Store(0)
				leave := start(t, comes)
				reach(t, &mine, 100)
				if round == 0 { // it has just got its share
					if name == "eager" {
						reach(t, &lanes, 9) // the other's half begins anew
					}
					lanes.Store(0)
				}
				leave() // keeps its place: sarama sends no LeaveGroup for a static member
			}
			if n := lanes.Load(); n > 0 {
				t.Errorf("the other member has begun %d tenures, though its partitions were to stay", n)
			}
			start(t, comes) // the rest of the records are in its partitions; ends with the test
			sent := stopFlow()
			got := b.Consume(t, "out", sent)
			stop()
			inOrderOnce(t, got, sent)
		})
	}
}

// TestStaticMemberIsTakenOver: two processes with one instance id. The first
// one has to say so, and to end.
func TestStaticMemberIsTakenOver(t *testing.T) {
	b := wide(t, "in", "out")
	first := make(chan error, 1)
	go func() { first <- stage.Run(t.Context(), member(b, static("mill-7"))) }()
	b.Produce(t, "in", raw("k", "0"))
	b.Await(t, "out", 1)
	stop := start(t, member(b, static("mill-7")))
	select {
	case err := <-first:
		if err == nil || !strings.Contains(err.Error(), `another process has joined with the same Consumer.Group.InstanceId, "mill-7"`) {
			t.Errorf("%v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the first process goes on")
	}
	b.Produce(t, "in", raw("k", "1"))
	for n := 2; ; n++ { // "0" may come twice: who was taken over could not commit it
		if got := values(b.Consume(t, "out", n)); slices.Contains(got, "1") {
			break
		}
	}
	stop()
}

// TestHopelessMembership: the broker refuses the membership for good.
func TestHopelessMembership(t *testing.T) {
	b := wide(t, "in", "out")
	b.Produce(t, "in", raw("k", "0"))
	stop := start(t, member(b, quick))
	defer stop()
	b.Await(t, "out", 1)
	for name, on := range map[string]struct {
		config func(*sarama.Config)
		want   string
	}{
		"no common strategy": {eager, "the group's members share no balance strategy with this one, which has range"},
		"session too short": {
			func(c *sarama.Config) {
				c.Consumer.Group.Session.Timeout, c.Consumer.Group.Heartbeat.Interval = 100*time.Millisecond, 10*time.Millisecond
			},
			"the broker takes no Consumer.Group.Session.Timeout of 100ms",
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := stage.Run(ctx, member(b, on.config)); err == nil || !strings.Contains(err.Error(), on.want) || !strings.Contains(err.Error(), `group "group"`) {
				t.Errorf("%v, want %q", err, on.want)
			}
		})
	}
}

// TestSourceTopicIsDeleted: reading it can't go on, and says so.
func TestSourceTopicIsDeleted(t *testing.T) {
	b := kafkatest.Start(t, "in", "other", "out")
	b.Produce(t, "in", raw("k", "0"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- stage.Run(ctx, member(b, quick, source.Also("other"))) }()
	b.Await(t, "out", 1)
	if err := b.DeleteTopic("in"); err != nil {
		t.Fatal(err)
	}
	err := <-failed
	for _, want := range []string{"a topic does not exist any more", "in/0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
