// App measures the tweets app from the prompt to the answer, and by turns with
// it three hops through the same kind of broker, written by hand with sarama:
// what is left of the app without its model and its index is to be compared
// with those.
//
// It runs the app's binary as a user does, one question at a time, and writes
// benchmarks/results/app.json and app.md. -h tells the flags.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
	"github.com/millrace-go/millrace/internal/cachedir"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

// options are the flags.
type options struct {
	tweets    string
	archive   string
	brokers   string
	kafka     string
	out       string
	rounds    int
	questions int
	warmUp    int
}

func (o *options) parse(args []string, errs io.Writer) error {
	f := flag.NewFlagSet("app", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.tweets, "tweets", "", "the app's `binary`; bin/tweets below $MILLRACE_CACHE if empty")
	f.StringVar(&o.archive, "archive", "", "a Trump Twitter Archive's JSON `file`; the app's sample if empty")
	f.StringVar(&o.brokers, "brokers", "", "measure on the Kafka at these `host:port`, too; several with commas")
	f.StringVar(&o.kafka, "kafka", "", "that Kafka's `version`, for the report")
	f.StringVar(&o.out, "out", "benchmarks/results", "`folder` for the results; none are written if empty")
	f.IntVar(&o.rounds, "rounds", 9, "how many turns the app and the hops have each")
	f.IntVar(&o.questions, "questions", 20, "how many questions a turn has")
	f.IntVar(&o.warmUp, "warmup", 40, "how many questions go before the first turn of each")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.rounds < 1 || o.questions < 1 || o.warmUp < 1 {
		return errors.New("no arguments, and at least one round, one question and one to warm up; see -h")
	}
	if o.tweets == "" {
		cache, err := cachedir.Dir()
		if err != nil {
			return fmt.Errorf("where is the app? %w; or give -tweets", err)
		}
		o.tweets = filepath.Join(cache, "bin", "tweets")
	}
	return nil
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	var o options
	if err := o.parse(args, errs); err != nil {
		return err
	}
	load := results.Load()
	tweets, err := prepare(ctx, &o, errs)
	if err != nil {
		return err
	}
	own, err := kafkatest.New(kafkatest.Options{})
	if err != nil {
		return err
	}
	defer own.Close()

	r := report{options: o, tweets: tweets, load: load}
	places := []place{{name: "in-process broker", addrs: own.Addrs()}}
	if o.brokers != "" {
		name := strings.TrimSpace("Kafka " + cmp.Or(o.kafka, "of unknown version"))
		places = append(places, place{name: name, addrs: strings.Split(o.brokers, ","), apart: true})
	}
	for _, p := range places {
		_, _ = fmt.Fprintf(errs, "measuring on the %s: %d rounds of %d questions\n", p.name, o.rounds, o.questions)
		m, err := measure(ctx, &o, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		r.measured = append(r.measured, m)
	}
	text, err := r.text()
	if err != nil {
		return err
	}
	_, _ = io.WriteString(out, text)
	if o.out == "" {
		return nil
	}
	return results.Write(o.out, "app", r.rows(), text)
}
