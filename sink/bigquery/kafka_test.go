package bigquery_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/sink"
	millrace "github.com/millrace-go/millrace/sink/bigquery"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// numbers is the stage of these tests: the number in a record becomes a row.
// Some numbers are skipped, some fail, and what fails goes to a topic.
func numbers(c *kafka.Cluster, t millrace.Table) *stage.Stage[string, item] {
	in := stage.Topic[string]{Name: "in", Codec: stage.String()}
	return &stage.Stage[string, item]{
		Name:   "numbers",
		Source: source.Kafka(c, in, "group"),
		Transform: stage.Map(func(_ context.Context, s string) (item, error) {
			n, err := strconv.Atoi(s)
			switch {
			case err != nil || n%17 == 4:
				return item{}, stage.Permanent(fmt.Errorf("%q is not to be done", s))
			case n%5 == 2:
				return item{}, stage.ErrSkip
			}
			return itemAt(n), nil
		}),
		Sink:           millrace.AppendOnce[item](t),
		DeadLetters:    sink.DeadLetters(c, "dead"),
		CommitInterval: 50 * time.Millisecond,
		DrainTimeout:   5 * time.Second,
		Logger:         quiet,
	}
}

// wrongNumber is refused by the table.
func wrongNumber(row map[string]any) string {
	n, err := strconv.Atoi(fmt.Sprint(row["n"]))
	if err != nil || n%23 == 6 {
		return "an unlucky number"
	}
	return ""
}

// outcome sorts the numbers below n: those that get rows, and dead letters.
func outcome(n int) (rows, dead []int) {
	for i := range n {
		switch {
		case i%17 == 4:
			dead = append(dead, i)
		case i%5 == 2:
		case i%23 == 6:
			dead = append(dead, i)
		default:
			rows = append(rows, i)
		}
	}
	return rows, dead
}

// feed writes the numbers from from to to, some of them in transactions, and
// with others that were aborted in between, so that there are gaps.
func feed(tb testing.TB, b *kafkatest.Broker, from, to int) {
	tb.Helper()
	cfg, err := b.Cluster().ProducerConfig()
	if err != nil {
		tb.Fatal(err)
	}
	cfg.Producer.Transaction.ID = "feed"
	p, err := sarama.NewSyncProducer(b.Addrs(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	defer p.Close()
	for at := from; at < to; at += 20 {
		var recs []*sarama.ProducerMessage
		for n := at; n < min(at+20, to); n++ {
			recs = append(recs, &sarama.ProducerMessage{Topic: "in", Key: sarama.StringEncoder(fmt.Sprint("k", n%30)), Value: sarama.StringEncoder(strconv.Itoa(n))})
		}
		aborted := &sarama.ProducerMessage{Topic: "in", Key: recs[0].Key, Value: sarama.StringEncoder(strconv.Itoa(1_000_000 + at))}
		err := errors.Join(
			p.BeginTxn(), p.SendMessages(recs), p.CommitTxn(),
			p.BeginTxn(), p.SendMessages([]*sarama.ProducerMessage{aborted}), p.AbortTxn())
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// deadNumbers are the numbers that are in the topic of dead letters.
func deadNumbers(tb testing.TB, b *kafkatest.Broker, most int) map[int]bool {
	tb.Helper()
	dead := make(map[int]bool)
	for _, r := range b.Consume(tb, "dead", most) {
		n, err := strconv.Atoi(string(r.Value))
		if err != nil {
			tb.Fatal(err)
		}
		dead[n] = true
	}
	return dead
}

func broker(tb testing.TB) *kafkatest.Broker {
	tb.Helper()
	b := kafkatest.Start(tb, "dead")
	if err := b.CreateTopic("in", 3); err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestOnceFromKafka: a partition has gaps, records that are skipped, that fail
// and that the table refuses; the service fails now and then, and the stage is
// stopped in the middle.
func TestOnceFromKafka(t *testing.T) {
	const n = 2000
	b, f := broker(t), startFake(t)
	feed(t, b, 0, n)
	rows, dead := outcome(n)
	f.wrong = wrongNumber
	f.fault = faultsNowAndThen()
	table := f.table(t)
	for run := range 4 {
		s := numbers(b.Cluster(), table)
		if run == 3 {
			s.Source = source.Kafka(b.Cluster(), stage.Topic[string]{Name: "in", Codec: stage.String()}, "group", source.UntilEnd())
		} else {
			s.MaxInFlight = 100 << run // smaller requests
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- stage.Run(ctx, s) }()
		if run < 3 {
			want := (run + 1) * len(rows) / 5
			await(t, "that rows are written", func() bool { return len(f.written()) >= want })
			stop()
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		stop()
	}
	f.once(t, rows...)
	got := deadNumbers(t, b, len(dead))
	for _, i := range dead {
		if !got[i] {
			t.Errorf("%d is in no dead letter", i)
		}
	}
	if len(got) != len(dead) {
		t.Errorf("dead letters of %d numbers, want %d", len(got), len(dead))
	}
	for _, what := range []string{"failed append", "lost an answer to append", "append of what is there", "request with wrong rows"} {
		if f.count(what) == 0 {
			t.Errorf("the faults were not met: no %s; %v", what, f.found)
		}
	}
}

// faultsNowAndThen fails every seventh append, and loses every fifth answer.
func faultsNowAndThen() func(string, int) fault {
	return func(method string, nth int) fault {
		switch {
		case method != "append":
		case nth%7 == 3:
			return fault{before: errAway}
		case nth%5 == 1:
			return fault{after: errAway}
		}
		return fault{}
	}
}

// workerEnv is set for processes of this test binary that are to be workers:
// brokers, and the address of the fake.
const workerEnv = "MILLRACE_TEST_BIGQUERY_WORKER"

func TestMain(m *testing.M) {
	if at := os.Getenv(workerEnv); at != "" {
		if err := work(at); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// work runs the stage until the topic's end.
func work(at string) error {
	addr, brokers, _ := strings.Cut(at, " ")
	ctx := context.Background()
	client, err := storageClient(ctx, addr)
	if err != nil {
		return err
	}
	defer client.Close()
	c := &kafka.Cluster{Brokers: strings.Split(brokers, ","), Config: soonDead}
	s := numbers(c, tableOf(client))
	s.Source = source.Kafka(c, stage.Topic[string]{Name: "in", Codec: stage.String()}, "group", source.UntilEnd())
	s.MaxInFlight = 200
	s.Logger = nil
	return stage.Run(ctx, s)
}

// soonDead lets the group know soon of a member that was killed.
func soonDead(c *sarama.Config) {
	c.Consumer.Group.Session.Timeout = time.Second
	c.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
}

// worker is a process that works.
type worker struct {
	cmd *exec.Cmd
	log strings.Builder
}

func startWorker(t *testing.T, b *kafkatest.Broker, f *fake) *worker {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{cmd: exec.CommandContext(t.Context(), self)}
	w.cmd.Env = append(os.Environ(), workerEnv+"="+f.addr+" "+strings.Join(b.Addrs(), ","))
	w.cmd.Stdout, w.cmd.Stderr = &w.log, &w.log
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// kill ends the process as kill -9 does.
func (w *worker) kill(t *testing.T) {
	t.Helper()
	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Wait(); err == nil {
		t.Fatal("the worker had ended before it was killed")
	}
}

// TestKilledBetweenAppendAndCommit: workers are killed when rows are in the
// table and nobody knows it, and when they are noted and not in the table; the
// last of them does what is left.
func TestKilledBetweenAppendAndCommit(t *testing.T) {
	const n, kills = 1500, 4
	b, f := broker(t), startFake(t)
	feed(t, b, 0, n)
	rows, dead := outcome(n)
	f.wrong = wrongNumber

	// Of each worker's requests, the third hangs: in turn behind its effect
	// and before it.
	var mu sync.Mutex
	first, killed := 0, 0
	struck := make(chan struct{}, 1)
	var still chan struct{}
	f.fault = func(method string, nth int) (what fault) {
		mu.Lock()
		defer mu.Unlock()
		if method != "append" || killed == kills || nth != first+3 {
			return what
		}
		if what.hung = still; killed%2 == 1 {
			what = fault{hang: still}
		}
		struck <- struct{}{}
		return what
	}
	effective := 0
	for range kills {
		mu.Lock()
		f.mu.Lock()
		first = f.calls["append"]
		f.mu.Unlock()
		still = make(chan struct{})
		mu.Unlock()
		w := startWorker(t, b, f)
		select {
		case <-struck:
		case <-time.After(time.Minute):
			t.Fatalf("the worker wrote nothing:\n%s", &w.log)
		}
		if killed%2 == 0 {
			await(t, "that the rows are written", func() bool { return f.count("hung behind append") == killed/2+1 })
			effective++
		}
		w.kill(t)
		mu.Lock()
		killed++
		close(still)
		mu.Unlock()
	}
	w := startWorker(t, b, f)
	if err := w.cmd.Wait(); err != nil {
		t.Fatalf("%v:\n%s", err, &w.log)
	}
	f.once(t, rows...)
	if effective != kills/2 || f.count("hung behind append") != kills/2 || f.count("hung before append") != kills/2 {
		t.Errorf("the faults were not met: %v", f.found)
	}
	got := deadNumbers(t, b, len(dead))
	for _, i := range dead {
		if !got[i] {
			t.Errorf("%d is in no dead letter", i)
		}
	}
	t.Logf("%d rows, once each, by %d workers, %d of them killed; %d streams", len(rows), kills+1, kills, len(f.streams))
}
