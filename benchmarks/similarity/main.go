// Command similarity measures the in-process indexes beside faiss, numpy,
// scikit-learn and usearch: the same vectors and threads, all systems of a case
// by turns. It writes benchmarks/results/similarity.json and similarity.md.
//
// With -archive the vectors are those of real tweets, by the models that are
// installed; else, and for the case of a million, they are made up: clustered,
// and of few strong directions, as embeddings are. The peers run in Python, in
// an environment of their own under MILLRACE_CACHE, which is made the first
// time. -h tells the flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

type options struct {
	out     string
	archive string
	only    *regexp.Regexp // nil: all cases
	turns   int
	seconds float64
	rows    int
	large   int
	most    int
}

func (o *options) parse(args []string, errs io.Writer) error {
	f := flag.NewFlagSet("similarity", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.out, "out", "benchmarks/results", "`folder` for the results; none are written if empty, or with -only")
	f.StringVar(&o.archive, "archive", "", "a Trump Twitter Archive's JSON `file`, plain or gzipped, whose vectors to search; they are made up if empty")
	f.Func("only", "measure the cases whose names match this `expression` alone, such as '^768 single', and write no results", func(text string) (err error) {
		o.only, err = regexp.Compile(text)
		return err
	})
	f.IntVar(&o.turns, "rounds", 5, "how many turns each system has in a case")
	f.Float64Var(&o.seconds, "seconds", 0.3, "how long a turn takes, about")
	f.IntVar(&o.rows, "rows", 30_445, "rows of the cases at 10, 150, 384 and 768 values")
	f.IntVar(&o.large, "large", 1_000_000, "rows of the large case at 150 values; 0 leaves it out")
	f.IntVar(&o.most, "most", 10_000_000, "up to how many rows, from 10,000, growth is measured; 0 leaves it out")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.turns < 1 || o.seconds <= 0 || o.rows < 1000 || o.large != 0 && o.large < 1000 || o.most != 0 && o.most < 10_000 {
		return errors.New("no arguments, at least one round, some seconds, and rows no fewer than 1,000, or 10,000 for -most; see -h")
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
	r := report{load: results.Load()}
	if err := r.parse(args, errs); err != nil {
		return err
	}
	python, err := environment().Install(ctx, errs)
	if err != nil {
		return err
	}
	for _, s := range r.sets(errs) {
		b := bench{options: r.options, set: s, python: python, log: errs}
		if err := b.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if len(b.cases) > 0 {
			r.benches = append(r.benches, &b)
		}
	}
	if r.most > 0 && r.wants(growthName) {
		if r.growth, err = r.grow(ctx, errs); err != nil {
			return fmt.Errorf("%s: %w", growthName, err)
		}
	}
	text := r.text()
	if _, err := io.WriteString(out, text); err != nil || r.out == "" || r.only != nil {
		return err
	}
	return results.Write(r.out, "similarity", r.rows(), text)
}

// wants tells whether the case is to be measured.
func (o *options) wants(name string) bool { return o.only == nil || o.only.MatchString(name) }
