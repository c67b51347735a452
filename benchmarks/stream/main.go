// Stream measures what a stage costs beside a loop that is written by hand
// with sarama, on a real Kafka: the same records through both by turns.
//
// It starts a Kafka of its own unless it is told of one, and writes
// benchmarks/results/stream.json and stream.md. -h tells the flags.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
	"github.com/millrace-go/millrace/internal/kafkaserver"
)

func main() {
	if text, ok := os.LookupEnv(jobVariable); ok {
		var j job
		err := json.Unmarshal([]byte(text), &j)
		if err == nil {
			err = j.run()
		}
		exit(err)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(start(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "stream:", err)
		os.Exit(1)
	}
}

const (
	partitions = 6
	valueBytes = 256
	keys       = 10_000
)

type options struct {
	brokers  string
	out      string
	records  int
	rounds   int
	delivery string
	parallel bool
	profiles string
}

func (o *options) parse(args []string, errs io.Writer) error {
	f := flag.NewFlagSet("stream", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.brokers, "brokers", "", "measure on the Kafka at these `host:port`, several with commas; one is started if empty")
	f.StringVar(&o.out, "out", "benchmarks/results", "`folder` for the results; none are written if empty")
	f.IntVar(&o.records, "records", 1_000_000, "how many records a turn passes on")
	f.IntVar(&o.rounds, "rounds", 9, "how many rounds: the loop, the stage in two orders, the loop again")
	f.StringVar(&o.delivery, "delivery", "at-least-once,exactly-once", "which `deliveries` to measure")
	f.BoolVar(&o.parallel, "parallel", true, "time Parallel Consumer's shapes as well")
	f.StringVar(&o.profiles, "profiles", "", "`folder` for processor profiles of each turn")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.records < 1000 || o.rounds < 1 {
		return errors.New("no arguments, and at least one round of 1,000 records; see -h")
	}
	return nil
}

// bench is a broker with records to pass on.
type bench struct {
	options
	broker *broker
	prefix string
	in     string
	turns  int
}

func (b *bench) profile(system, delivery string) string {
	if b.profiles == "" {
		return ""
	}
	return filepath.Join(b.profiles, fmt.Sprintf("%s-%s-%d.prof", system, delivery, b.turns))
}

func start(ctx context.Context, args []string, out, errs io.Writer) error {
	b := &bench{prefix: fmt.Sprintf("stream-%d", time.Now().UnixMilli())}
	if err := b.parse(args, errs); err != nil {
		return err
	}
	addrs := strings.Split(b.brokers, ",")
	if b.brokers == "" {
		cluster, err := startKafka(ctx, errs)
		if err != nil {
			return err
		}
		defer cluster.Close()
		addrs = cluster.Brokers()
	}
	var err error
	if b.broker, err = dial(addrs); err != nil {
		return err
	}
	defer b.broker.close()
	b.in = b.prefix + "-in"
	if err := b.broker.create(ctx, b.in, partitions); err != nil {
		return err
	}
	defer func() { _ = b.broker.remove(context.WithoutCancel(ctx), b.in) }()
	if err := b.broker.fill(ctx, b.in, b.records, valueBytes, keys); err != nil {
		return err
	}
	rep := report{options: b.options, load: results.Load()}
	for _, delivery := range strings.Split(b.delivery, ",") {
		if err := b.compare(ctx, delivery, &rep, errs); err != nil {
			return err
		}
	}
	if b.parallel {
		if err := b.timeParallel(ctx, &rep, errs); err != nil {
			return err
		}
	}
	text := rep.text()
	_, _ = io.WriteString(out, text)
	if b.out == "" {
		return nil
	}
	return results.Write(b.out, "stream", rep.rows(), text)
}

// compare has the contenders take turns.
func (b *bench) compare(ctx context.Context, delivery string, rep *report, log io.Writer) error {
	c := comparison{delivery: delivery}
	// A broker that has just started, in Java, is slow at first: this turn does
	// not count.
	if _, err := b.turn(ctx, contenders()[0], delivery); err != nil {
		return err
	}
	for round := range b.rounds {
		var runs []run
		for _, who := range contenders() {
			r, err := b.turn(ctx, who, delivery)
			if err != nil {
				return err
			}
			runs = append(runs, r)
			_, _ = fmt.Fprintf(log, "%s, round %d of %d: %-18s %8.0f records/s, %.2f us of processor time a record\n",
				delivery, round+1, b.rounds, who.name, r.rate, r.CPU/float64(b.records)*1e6)
		}
		c.rounds = append(c.rounds, runs)
	}
	rep.compared = append(rep.compared, c)
	return nil
}

// timeParallel times the shapes of Parallel Consumer's table.
func (b *bench) timeParallel(ctx context.Context, rep *report, log io.Writer) error {
	for _, s := range parallelShapes() {
		t := timing{shape: s}
		for _, workers := range []int{16, 100} {
			var times []float64
			for range min(3, b.rounds) {
				seconds, err := b.parallelTimes(ctx, s, workers)
				if err != nil {
					return err
				}
				times = append(times, seconds)
			}
			t.seconds = append(t.seconds, results.Quantile(times, 0.5))
		}
		_, _ = fmt.Fprintf(log, "%v, %d keys: %.2f s with 16 workers, %.2f s with 100\n", s.order, s.keys, t.seconds[0], t.seconds[1])
		rep.timings = append(rep.timings, t)
	}
	return nil
}

func startKafka(ctx context.Context, log io.Writer) (*kafkaserver.Cluster, error) {
	lib, err := kafkaserver.Dir()
	if err != nil {
		return nil, err
	}
	if err := kafkaserver.Install(ctx, lib, log); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "stream")
	if err != nil {
		return nil, err
	}
	return kafkaserver.Start(ctx, lib, dir, 1)
}
