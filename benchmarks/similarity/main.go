// Command similarity measures the in-process indexes beside faiss, numpy,
// scikit-learn and usearch: the same data and threads, all systems of a case by
// turns. It writes benchmarks/results/similarity.json and similarity.md.
//
// The data are synthetic, clustered and of few strong directions, as
// embeddings are. The peers run in Python, in an environment of their own
// under MILLRACE_CACHE, which is made the first time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

type options struct {
	dir     string
	turns   int
	seconds float64
	rows    int
	large   int
}

func (o *options) parse(args []string, errs io.Writer) error {
	f := flag.NewFlagSet("similarity", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.dir, "results", "benchmarks/results", "the folder to write the results to")
	f.IntVar(&o.turns, "rounds", 5, "how many turns each system has in a case")
	f.Float64Var(&o.seconds, "seconds", 0.5, "how long a turn takes, about")
	f.IntVar(&o.rows, "rows", 30_445, "rows of the cases at 10, 150, 384 and 768 dimensions")
	f.IntVar(&o.large, "large", 1_000_000, "rows of the large case at 150 dimensions; 0 leaves it out")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.turns < 1 || o.seconds <= 0 || o.rows < 1000 || o.large < 0 {
		return errors.New("no arguments, at least one round, some seconds, and 1,000 rows; see -h")
	}
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "similarity:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	var o options
	if err := o.parse(args, errs); err != nil {
		return err
	}
	load := results.Load()
	python, err := environment(ctx, errs)
	if err != nil {
		return err
	}
	r := report{options: o, load: load, flops: flops()}
	sizes := []size{{o.rows, 10}, {o.rows, 150}, {o.rows, 384}, {o.rows, 768}}
	if o.large > 0 {
		sizes = append(sizes, size{o.large, 150})
	}
	for _, s := range sizes {
		if err := r.measure(ctx, s, python, errs); err != nil {
			return fmt.Errorf("%d x %d: %w", s.rows, s.dim, err)
		}
	}
	text := r.text()
	if err := results.Write(o.dir, "similarity", r.rows(), text); err != nil {
		return err
	}
	_, err = io.WriteString(out, text)
	return err
}
