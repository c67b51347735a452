package source_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// rig is a broker that tests look into and meddle with, with the topics "in"
// and "out".
type rig struct {
	*kfake.Cluster
	c *kafka.Cluster
}

func newRig(t *testing.T, partitions int32) *rig {
	t.Helper()
	f, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	for _, name := range []string{"in", "out"} {
		if err := f.CreateTopic(name, partitions, nil); err != nil {
			t.Fatal(err)
		}
	}
	return &rig{f, &kafka.Cluster{Brokers: f.ListenAddrs()}}
}

// producer writes one record after the other, to partition 0 or a message's
// own, in transactions if id is not empty.
func (r *rig) producer(t *testing.T, id string) sarama.SyncProducer {
	t.Helper()
	cfg, err := r.c.ProducerConfig()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Producer.Transaction.ID = id
	cfg.Producer.Partitioner = sarama.NewManualPartitioner
	p, err := sarama.NewSyncProducer(r.c.Brokers, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func send(t *testing.T, p sarama.SyncProducer, values ...string) {
	t.Helper()
	for _, v := range values {
		if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "in", Value: sarama.StringEncoder(v)}); err != nil {
			t.Fatal(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// out is what a reader of committed records sees in "out", sorted.
func (r *rig) out(t *testing.T) (got []string) {
	t.Helper()
	cfg, err := r.c.ConsumerConfig(sarama.OffsetOldest)
	must(t, err)
	consumer, err := sarama.NewConsumer(r.c.Brokers, cfg)
	must(t, err)
	defer func() { _ = consumer.Close() }()
	for _, p := range r.PartitionInfos("out") {
		claim, err := consumer.ConsumePartition("out", p.Partition, sarama.OffsetOldest)
		must(t, err)
		for range p.HighWatermark { // the stages here write no transactions
			got = append(got, string((<-claim.Messages()).Value))
		}
		must(t, claim.Close())
	}
	slices.Sort(got)
	return got
}

// fetches hears of every fetch of "in". One that waits at most 100 ms is the
// source's own question whether anything is left; meddle may answer it.
func (r *rig) fetches(meddle func(probe bool, at int64) *kerr.Error) {
	r.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		r.KeepControl()
		req := kreq.(*kmsg.FetchRequest)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		refused := false
		for _, topic := range req.Topics {
			if topic.Topic != "in" {
				continue
			}
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition = p.Partition
				if err := meddle(req.MaxWaitMillis == 100, p.FetchOffset); err != nil {
					rp.ErrorCode, refused = err.Code, true
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, refused
	})
}

// probes counts the source's questions.
func (r *rig) probes() *atomic.Int64 {
	var n atomic.Int64
	r.fetches(func(probe bool, _ int64) *kerr.Error {
		if probe {
			n.Add(1)
		}
		return nil
	})
	return &n
}

// TestUntilEndPastWhatNobodySees: the last offsets hold no record that comes.
func TestUntilEndPastWhatNobodySees(t *testing.T) {
	for name, c := range map[string]struct {
		produce func(t *testing.T, r *rig)
		end     int64
		want    []string
	}{
		"empty": {func(*testing.T, *rig) {}, 0, nil},
		"commit marker": {func(t *testing.T, r *rig) {
			send(t, r.producer(t, ""), "a")
			p := r.producer(t, "id")
			must(t, p.BeginTxn())
			send(t, p, "b")
			must(t, p.CommitTxn())
		}, 3, []string{"A", "B"}},
		"aborted": {func(t *testing.T, r *rig) {
			send(t, r.producer(t, ""), "a")
			p := r.producer(t, "id")
			must(t, p.BeginTxn())
			send(t, p, "x", "y")
			must(t, p.AbortTxn())
		}, 4, []string{"A"}},
		"nothing but aborted": {func(t *testing.T, r *rig) {
			p := r.producer(t, "id")
			must(t, p.BeginTxn())
			send(t, p, "x")
			must(t, p.AbortTxn())
		}, 2, nil},
		"aborted, committed, aborted": {func(t *testing.T, r *rig) {
			p := r.producer(t, "id")
			for _, v := range []string{"x", "a", "y"} {
				must(t, p.BeginTxn())
				send(t, p, v)
				if v == "a" {
					must(t, p.CommitTxn())
				} else {
					must(t, p.AbortTxn())
				}
			}
		}, 6, []string{"A"}},
		"deleted": {func(t *testing.T, r *rig) {
			send(t, r.producer(t, ""), "x", "y")
			must(t, admin(t, r.c).DeleteRecords("in", map[int32]int64{0: 2}))
		}, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			c.produce(t, r)
			if end := r.PartitionInfo("in", 0).LastStableOffset; end != c.end {
				t.Fatalf("the partition ends at %d, want %d", end, c.end)
			}
			for range 2 { // the second run begins behind the last record
				must(t, stage.Run(t.Context(), copier(r.c, source.UntilEnd())))
			}
			if got := r.out(t); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestUntilEndWaitsForOpenTransactions: records that are committed already lie
// behind one that was open at the start.
func TestUntilEndWaitsForOpenTransactions(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(sarama.SyncProducer) error
		want []string
	}{
		"commit": {sarama.SyncProducer.CommitTxn, []string{"A", "B", "C"}},
		"abort":  {sarama.SyncProducer.AbortTxn, []string{"A", "C"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			plain, open := r.producer(t, ""), r.producer(t, "id")
			send(t, plain, "a")
			must(t, open.BeginTxn())
			send(t, open, "b")
			send(t, plain, "c")
			probes := r.probes()
			done := make(chan error, 1)
			go func() { done <- stage.Run(t.Context(), copier(r.c, source.UntilEnd())) }()
			await(t, "three looks for the end", func() bool { return probes.Load() >= 3 })
			select {
			case err := <-done:
				t.Fatalf("the run ended in front of an open transaction: %v", err)
			default:
			}
			must(t, c.end(open))
			must(t, <-done)
			if got := r.out(t); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestUntilEndBehindASlowStage: the stage stands still until its partition has
// been silent for long.
func TestUntilEndBehindASlowStage(t *testing.T) {
	const records = 10_000
	r := newRig(t, 1)
	long := strings.Repeat("x", 1000)
	p := r.producer(t, "")
	msgs := make([]*sarama.ProducerMessage, records)
	for i := range msgs {
		msgs[i] = &sarama.ProducerMessage{Topic: "in", Key: sarama.StringEncoder(fmt.Sprint(i)), Value: sarama.StringEncoder(long)}
	}
	must(t, p.SendMessages(msgs))
	var furthest, probes atomic.Int64
	r.fetches(func(probe bool, at int64) *kerr.Error {
		if probe {
			probes.Add(1)
		} else {
			furthest.Store(max(furthest.Load(), at))
		}
		return nil
	})
	begun, release := make(chan struct{}), make(chan struct{})
	s := copier(r.c, source.UntilEnd())
	s.MaxInFlight, s.BatchSize = 64, 16
	var once sync.Once
	s.Transform = stage.Map(func(_ context.Context, v string) (string, error) {
		once.Do(func() { close(begun) })
		<-release
		return v, nil
	})
	done := make(chan error, 1)
	go func() { done <- stage.Run(t.Context(), s) }()
	<-begun
	asked := probes.Load()
	time.Sleep(3 * time.Second) // some silences
	if at := furthest.Load(); at == 0 || at >= records {
		t.Fatalf("fetched at offset %d of %d: the stage has not held its partition up", at, records)
	}
	if n := probes.Load() - asked; n > 1 { // one was perhaps on its way
		t.Errorf("%d looks for the end while the stage held the partition up", n)
	}
	close(release)
	must(t, <-done)
	if n := r.PartitionInfo("out", 0).HighWatermark; n != records {
		t.Errorf("Run says all is well after %d of %d records", n, records)
	}
}

// TestUntilEndOnASlowBroker: the partition is silent since its fetches fail,
// and so do the questions why.
func TestUntilEndOnASlowBroker(t *testing.T) {
	for name, c := range map[string]struct{ fetches, probes bool }{
		"fetches fail":             {true, false},
		"fetches and probes fail":  {true, true},
		"probes fail, at a marker": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			send(t, r.producer(t, ""), "a", "b", "c")
			p := r.producer(t, "id")
			must(t, p.BeginTxn())
			send(t, p, "x")
			must(t, p.AbortTxn())
			var failed, probes atomic.Int64
			r.fetches(func(probe bool, _ int64) *kerr.Error {
				if probe {
					probes.Add(1)
				}
				if probes.Load() > 3 || probe && !c.probes || !probe && !c.fetches {
					return nil
				}
				failed.Add(1)
				return kerr.LeaderNotAvailable
			})
			must(t, stage.Run(t.Context(), copier(r.c, source.UntilEnd())))
			if got, want := r.out(t), []string{"A", "B", "C"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			if failed.Load() == 0 || probes.Load() < 4 { // sarama's own fetch rests for 2 s after a failure
				t.Errorf("%d fetches failed, and there were %d looks for the end", failed.Load(), probes.Load())
			}
		})
	}
}

// TestUntilEndIsTheEndAtTheStart: a producer goes on writing during the run.
func TestUntilEndIsTheEndAtTheStart(t *testing.T) {
	r := newRig(t, 1)
	p := r.producer(t, "")
	send(t, p, "a", "b", "c")
	s := copier(r.c, source.UntilEnd())
	s.Order = stage.ByPartition
	read, written := make(chan struct{}), make(chan struct{})
	s.Transform = stage.Map(func(_ context.Context, v string) (string, error) {
		if v == "a" {
			close(read)
			<-written
		}
		return upper(v)
	})
	done := make(chan error, 1)
	go func() { done <- stage.Run(t.Context(), s) }()
	<-read
	send(t, p, "d")
	close(written)
	for running := true; running; {
		select {
		case err := <-done:
			must(t, err)
			running = false
		default:
			send(t, p, "e")
		}
	}
	if got, want := r.out(t), []string{"A", "B", "C"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestUntilEndByTwoMembers: neither can end before both are there, since every
// partition has an open transaction.
func TestUntilEndByTwoMembers(t *testing.T) {
	const partitions = 4
	r := newRig(t, partitions)
	plain, open := r.producer(t, ""), r.producer(t, "id")
	must(t, open.BeginTxn())
	var want []string
	for i := range int32(partitions) {
		for p, v := range map[sarama.SyncProducer]string{plain: "PLAIN", open: "OPEN"} {
			v = fmt.Sprint(v, i)
			want = append(want, v)
			_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "in", Partition: i, Value: sarama.StringEncoder(v)})
			must(t, err)
		}
	}
	slices.Sort(want)
	r.c.Config = func(c *sarama.Config) { c.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond } // hears of a rebalance soon
	done := make(chan error, 1)
	go func() {
		done <- stage.Run(t.Context(), copier(r.c, source.UntilEnd()), copier(r.c, source.UntilEnd()))
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := r.WaitGroupStable(ctx, "group", 2)
	must(t, err)
	select {
	case err := <-done:
		t.Fatalf("the run ended in front of open transactions: %v", err)
	default:
	}
	must(t, open.CommitTxn())
	must(t, <-done)
	if got := r.out(t); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
