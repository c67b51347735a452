package source_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

var quiet = slog.New(slog.DiscardHandler)

func topic(name string) stage.Topic[string] {
	return stage.Topic[string]{Name: name, Codec: stage.String()}
}

func upper(s string) (string, error) { return strings.ToUpper(s), nil }

// copier reads "in" and writes upper case to "out".
func copier(c *kafka.Cluster, opts ...source.Option) *stage.Stage[string, string] {
	return &stage.Stage[string, string]{
		Name:      "upper",
		Source:    source.Kafka(c, topic("in"), "group", opts...),
		Transform: stage.Map(func(_ context.Context, s string) (string, error) { return upper(s) }),
		Sink:      sink.Kafka(c, topic("out")),
		Logger:    quiet,
	}
}

// start runs stages until the returned function stops them.
func start(t *testing.T, stages ...stage.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- stage.Run(ctx, stages...) }()
	return sync.OnceFunc(func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func raw(key, value string) stage.Raw {
	return stage.Raw{Key: []byte(key), Value: []byte(value)}
}

func values(recs []stage.Raw) []string {
	var vs []string
	for _, r := range recs {
		vs = append(vs, string(r.Value))
	}
	return vs
}

func TestKafkaToKafka(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	at := time.UnixMilli(1_555_000_000_123)
	in := raw("k", "hello")
	in.Time, in.Headers = at, []stage.Header{{Key: "correlation-id", Value: []byte("7")}}
	b.Produce(t, "in", in, raw("k", "again"))
	stop := start(t, copier(b.Cluster()))
	got := b.Consume(t, "out", 2)
	stop()
	if want := []string{"HELLO", "AGAIN"}; !slices.Equal(values(got), want) {
		t.Errorf("got %q, want %q", values(got), want)
	}
	id, _ := got[0].Header("correlation-id")
	if string(got[0].Key) != "k" || string(id) != "7" || !got[0].Time.Equal(at) {
		t.Errorf("key %q, correlation id %q, time %v", got[0].Key, id, got[0].Time)
	}
	if c, _ := b.Committed(t, "group", "in", 0); c != 2 {
		t.Errorf("committed %d, want 2", c)
	}

	// The next run goes on where this one stopped.
	b.Produce(t, "in", raw("k", "third"))
	stop = start(t, copier(b.Cluster()))
	got = b.Consume(t, "out", 3)
	stop()
	if want := []string{"HELLO", "AGAIN", "THIRD"}; !slices.Equal(values(got), want) {
		t.Errorf("got %q, want %q", values(got), want)
	}
}

func TestMembersShareThePartitions(t *testing.T) {
	b := kafkatest.Start(t)
	for _, name := range []string{"in", "out"} {
		if err := b.CreateTopic(name, 6); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	by := make(map[string]int)
	member := func(name string) *stage.Stage[string, string] {
		c := b.Cluster()
		c.Config = func(c *sarama.Config) { c.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond } // hears of a rebalance soon
		s := copier(c)
		s.Transform = stage.Map(func(_ context.Context, v string) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			by[name]++
			return v, nil
		})
		return s
	}
	send := func(from, n int) {
		recs := make([]stage.Raw, n)
		for i := range recs {
			recs[i] = raw(fmt.Sprint("k", from+i), fmt.Sprint(from+i))
		}
		b.Produce(t, "in", recs...)
	}
	send(0, 300)
	stopA := start(t, member("a"))
	b.Await(t, "out", 300)
	stopB := start(t, member("b")) // a rebalance in a living session
	for n := 300; ; n += 100 {
		send(n, 100)
		b.Await(t, "out", int64(n+100))
		mu.Lock()
		shared := by["b"] > 0 && by["a"] > 300
		mu.Unlock()
		if shared {
			break
		}
		if n > 20_000 {
			t.Fatalf("the second member got nothing: %v", by)
		}
	}
	stopA() // b takes over
	mu.Lock()
	soFar := by["a"] + by["b"]
	mu.Unlock()
	send(100_000, 100)
	got := b.Consume(t, "out", soFar+100)
	stopB()
	seen := make(map[string]int)
	for _, v := range values(got) {
		seen[v]++
	}
	for v, n := range seen {
		if n > 1 {
			t.Errorf("%s was written %d times, though nothing failed", v, n)
		}
	}
	if len(seen) != soFar+100 {
		t.Errorf("%d different records, want %d", len(seen), soFar+100)
	}
}

func TestUntilEnd(t *testing.T) {
	b := kafkatest.Start(t)
	for name, partitions := range map[string]int32{"in": 4, "more": 2, "out": 1} {
		if err := b.CreateTopic(name, partitions); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		b.Produce(t, "in", raw(fmt.Sprint(i), fmt.Sprint("in", i)))
	}
	b.Produce(t, "more", raw("x", "more"))
	s := copier(b.Cluster(), source.Also("more"), source.UntilEnd())
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := b.Consume(t, "out", 51); len(got) != 51 {
		t.Errorf("%d records, want 51", len(got))
	}
	// Again, with nothing new: it ends as well, and writes nothing.
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := b.Consume(t, "out", 51); len(got) != 51 {
		t.Errorf("%d records after the second run, want 51", len(got))
	}
}

func TestFromTime(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for h := -2; h <= 2; h++ {
		r := raw("k", fmt.Sprintf("hour %d", h))
		r.Time = noon.Add(time.Duration(h) * time.Hour)
		b.Produce(t, "in", r)
	}
	if err := stage.Run(t.Context(), copier(b.Cluster(), source.FromTime(noon), source.UntilEnd())); err != nil {
		t.Fatal(err)
	}
	if got, want := values(b.Consume(t, "out", 3)), []string{"HOUR 0", "HOUR 1", "HOUR 2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFromEnd(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	b.Produce(t, "in", raw("k", "old"))
	stop := start(t, copier(b.Cluster(), source.FromEnd()))
	// A new group has no offset before its first commit: send until one
	// arrives.
	for i := 0; ; i++ {
		b.Produce(t, "in", raw("k", "new"))
		if b.End(t, "out") > 0 {
			break
		}
		if i > 1000 {
			t.Fatal("nothing arrived")
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	if got := values(b.Consume(t, "out", 1)); got[0] != "NEW" {
		t.Errorf("got %q", got)
	}
}

func TestWithRecord(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	b.Produce(t, "in", raw("k", "v"))
	s := &stage.Stage[stage.Record[string], stage.Record[string]]{
		Source: source.WithRecord(source.Kafka(b.Cluster(), topic("in"), "group", source.UntilEnd())),
		Transform: stage.Map(func(_ context.Context, r stage.Record[string]) (stage.Record[string], error) {
			r.Value = fmt.Sprintf("%s/%d@%d %s=%s", r.Topic, r.Partition, r.Offset, r.Key, r.Value)
			r.Key = []byte("other")
			r.Headers = append(r.Headers, stage.Header{Key: "h", Value: []byte("1")})
			return r, nil
		}),
		Sink:   sink.FromRecord(sink.Kafka(b.Cluster(), topic("out"))),
		Logger: quiet,
	}
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	got := b.Consume(t, "out", 1)[0]
	h, _ := got.Header("h")
	if string(got.Value) != "in/0@0 k=v" || string(got.Key) != "other" || string(h) != "1" {
		t.Errorf("got %q with key %q and header %q", got.Value, got.Key, h)
	}
}

// TestBackPressure lets a stage stand still in front of far more records than
// it may hold, and then go on: the partition is paused and resumed, and not
// lost.
func TestBackPressure(t *testing.T) {
	const records = 20_000
	b := kafkatest.Start(t, "in", "out")
	recs := make([]stage.Raw, records)
	for i := range recs {
		recs[i] = raw(fmt.Sprint(i), strings.Repeat("x", 500))
	}
	b.Produce(t, "in", recs...)
	release := make(chan struct{})
	s := copier(b.Cluster(), source.UntilEnd())
	s.MaxInFlight, s.BatchSize = 64, 16
	s.Transform = stage.Map(func(_ context.Context, v string) (string, error) { <-release; return v, nil })
	time.AfterFunc(2*time.Second, func() { close(release) })
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := b.End(t, "out"); got != records {
		t.Errorf("%d records, want %d", got, records)
	}
}

func TestBadStartsAreClear(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	_ = free.Close()
	hung, err := net.Listen("tcp", "127.0.0.1:0") // connections are made, and nobody takes them
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hung.Close() })
	for name, c := range map[string]struct {
		stage *stage.Stage[string, string]
		says  []string
	}{
		"no broker": {
			copier(&kafka.Cluster{Brokers: []string{nobody}, StartTimeout: 2 * time.Second}),
			[]string{"no broker answers at " + nobody, "is it running"},
		},
		"hung broker": {
			copier(&kafka.Cluster{Brokers: []string{hung.Addr().String()}, StartTimeout: 2 * time.Second}),
			[]string{"no broker answers at " + hung.Addr().String(), "tried for 2s"},
		},
		"no topics": {
			func() *stage.Stage[string, string] {
				s := copier(b.Cluster())
				s.Source = source.Kafka(b.Cluster(), topic("inn"), "group")
				s.Sink = sink.Kafka(b.Cluster(), topic("outt"))
				return s
			}(),
			[]string{`topic "inn" does not exist`, `topic "outt" does not exist`, "create it first"},
		},
		"no group": {
			func() *stage.Stage[string, string] {
				s := copier(b.Cluster())
				s.Source = source.Kafka(b.Cluster(), topic("in"), "")
				return s
			}(),
			[]string{"no consumer group"},
		},
		"no addresses": {copier(&kafka.Cluster{}), []string{"Cluster.Brokers is empty"}},
		"weak acks": {
			copier(&kafka.Cluster{Brokers: b.Addrs(), Config: func(c *sarama.Config) { c.Producer.RequiredAcks = sarama.WaitForLocal }}),
			[]string{"Producer.RequiredAcks"},
		},
		"old version": {
			copier(&kafka.Cluster{Brokers: b.Addrs(), Config: func(c *sarama.Config) { c.Version = sarama.V2_0_0_0 }}),
			[]string{"at least 2.5"},
		},
		"short rebalance": {
			copier(&kafka.Cluster{Brokers: b.Addrs(), Config: func(c *sarama.Config) { c.Consumer.Group.Rebalance.Timeout = time.Second }}),
			[]string{"Rebalance.Timeout (1s) must be above one and a half times the stage's DrainTimeout (30s)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := stage.Run(t.Context(), c.stage)
			if err == nil {
				t.Fatal("no error")
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error does not say %q: %v", s, err)
				}
			}
			var recErr *stage.RecordError
			if errors.As(err, &recErr) {
				t.Errorf("blames a record: %v", err)
			}
		})
	}
}
