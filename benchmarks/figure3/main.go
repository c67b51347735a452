// Figure3 draws the third figure of the paper that Millrace grew out of again:
// how long a question takes, by the number of dimensions. It asks the nearest
// rows of the paper's own query and of ours in a BigQuery emulator, of pgvector,
// and of the index in process, by turns, and tells how many of the true
// neighbours each number of dimensions keeps.
//
// It writes benchmarks/results/figure3.json, figure3.md and figure3.svg. -h
// tells the flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "figure3:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	archive   string
	model     string
	rows      int
	dim       int // of vectors that are made up
	sizes     []int
	rounds    int
	questions int
	seed      uint64
	out       string
}

const neighbours = 10

func (o *options) parse(args []string, errs io.Writer) error {
	f := flag.NewFlagSet("figure3", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.archive, "archive", "", "a Trump Twitter Archive's JSON `file`; vectors are made up if empty")
	f.StringVar(&o.model, "model", "all-MiniLM-L6-v2", "the `model` that embeds the archive, one that embed/setup installed")
	f.IntVar(&o.rows, "rows", 30_445, "how many `rows` to search: the paper's number")
	f.IntVar(&o.dim, "dim", 768, "`values` of vectors that are made up")
	sizes := f.String("sizes", "10,50,150,300", "`dimensions` besides all, with commas")
	f.IntVar(&o.rounds, "rounds", 3, "how many `turns` each system has")
	f.IntVar(&o.questions, "questions", 5, "how many `questions` a turn has")
	f.Uint64Var(&o.seed, "seed", 1, "decides which vectors are the questions")
	f.StringVar(&o.out, "out", "benchmarks/results", "`folder` for the results; none are written if empty")
	if err := f.Parse(args); err != nil {
		return err
	}
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 || len(o.sizes) > 0 && n <= o.sizes[len(o.sizes)-1] {
			return fmt.Errorf("-sizes: %q: numbers above 0, ascending", *sizes)
		}
		o.sizes = append(o.sizes, n)
	}
	if f.NArg() > 0 || o.rows < 1000 || o.rounds < 1 || o.questions < 1 || o.questions > 100 {
		return errors.New("no arguments; at least 1,000 rows, one turn, and 1 to 100 questions in it; see -h")
	}
	return nil
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o := &options{}
	if err := o.parse(args, errs); err != nil {
		return err
	}
	load := results.Load()
	data, err := o.data(ctx, errs)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, o, data, errs)
	if err != nil {
		return err
	}
	r, err := b.measure(ctx)
	if err := errors.Join(err, b.close()); err != nil {
		return err
	}
	r.load = load
	text := r.text()
	_, _ = io.WriteString(out, text)
	if o.out == "" {
		return nil
	}
	if err := results.Write(o.out, "figure3", r.rows(), text); err != nil {
		return err
	}
	return drawFigure(r, filepath.Join(o.out, "figure3.svg"))
}
