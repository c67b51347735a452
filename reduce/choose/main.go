// Choose tells what shorter vectors would cost, so that one can choose their
// size: it fits a PCA to a file of vectors and says for each size how much of
// the variance and how many of the nearest neighbours are kept, as a table and
// as a picture. Then it fits the PCA of the size that was chosen.
//
//	go run github.com/millrace-go/millrace/reduce/choose -picture sizes.png vectors.npy
//	go run github.com/millrace-go/millrace/reduce/choose -size 150 -save pca vectors.npy
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
	"strconv"
	"strings"
	"syscall"

	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/reduce/report"
	"github.com/millrace-go/millrace/similarity/vector"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "choose:", err)
		os.Exit(1)
	}
}

const usage = `usage: choose [flags] FILE

FILE holds vectors: numpy's .npy (vectors x values, float32 or float64), or JSON,
a vector a line: [0.1, 0.2], or {"space": "...", "values": [0.1, 0.2]}; - is JSON
from standard input.

Without -save it prints what each size keeps; with it, it fits a PCA to all the
vectors and saves it.

`

// options are the flags.
type options struct {
	file     string
	space    string
	sizes    []int
	k        int
	queries  int
	seed     uint64
	picture  string
	asJSON   bool
	save     string
	size     int
	variance float64
}

func parse(args []string, errs io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("choose", flag.ContinueOnError)
	f.SetOutput(errs)
	f.Usage = func() {
		fmt.Fprint(errs, usage)
		f.PrintDefaults()
	}
	f.Func("sizes", "`numbers` of components to measure, with commas; some, up to all, if empty", func(text string) (err error) {
		o.sizes, err = numbers(text)
		return err
	})
	f.IntVar(&o.k, "k", 10, "how many nearest `neighbours` to look for")
	f.IntVar(&o.queries, "queries", 0, "how many `vectors` to hold out and search for; 0: a tenth of them, at most 500")
	f.Uint64Var(&o.seed, "seed", 0, "decides which vectors are held out")
	f.StringVar(&o.picture, "picture", "", "draw the report into this `file`, .png or .svg")
	f.BoolVar(&o.asJSON, "json", false, "print the report as JSON")
	f.StringVar(&o.save, "save", "", "fit the PCA and save it to this `file`: for scikit-learn if it ends in .npz, else for reduce.LoadFile")
	f.IntVar(&o.size, "size", 0, "with -save: how many `components`")
	f.Float64Var(&o.variance, "variance", 0, "with -save, in place of -size: keep this `part` of the variance, such as 0.9")
	f.StringVar(&o.space, "space", "", "the `space` of vectors whose file does not say it; needed by -save, unless as .npz")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() != 1 {
		return nil, fmt.Errorf("want one file of vectors, got %d arguments; flags go before it; see -h", f.NArg())
	}
	o.file = f.Arg(0)
	if ext := filepath.Ext(o.picture); o.picture != "" && ext != ".png" && ext != ".svg" {
		return nil, fmt.Errorf("-picture %s: want a name that ends in .png or .svg", o.picture)
	}
	if o.save == "" && (o.size != 0 || o.variance != 0) {
		return nil, errors.New("-size and -variance say what -save saves; to measure sizes, use -sizes")
	}
	if o.save != "" && (o.size != 0) == (o.variance != 0) {
		return nil, errors.New("-save needs -size or -variance, and not both")
	}
	return o, nil
}

// numbers reads whole numbers with commas between them.
func numbers(text string) ([]int, error) {
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number above 0", part)
		}
		all = append(all, n)
	}
	return all, nil
}

func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	vectors, err := read(o.file, in, o.space)
	if err != nil {
		return err
	}
	if o.save != "" {
		return o.fit(vectors, out)
	}
	r, err := report.Measure(ctx, vectors, report.Options{
		Sizes: o.sizes, K: o.k, Queries: o.queries, Seed: o.seed,
		Log: func(done string) { fmt.Fprintln(errs, done) },
	})
	if err != nil {
		return err
	}
	if o.picture != "" {
		if err := drawReport(r, o.picture); err != nil {
			return err
		}
	}
	if o.asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return r.WriteTable(out)
}

// fit fits the chosen size to all vectors, and saves it.
func (o *options) fit(vectors []vector.Vector, out io.Writer) error {
	npz := filepath.Ext(o.save) == ".npz"
	if !npz && vectors[0].Space == unnamed {
		return fmt.Errorf("%s does not say of which space its vectors are, and a PCA takes those of its own only: name it by -space, as the model does", o.file)
	}
	var f reduce.PCAFitter
	if err := f.Add(vectors...); err != nil {
		return err
	}
	var p *reduce.PCA
	var err error
	if o.size != 0 {
		p, err = f.Fit(o.size)
	} else {
		p, err = f.FitVariance(o.variance)
	}
	if err != nil {
		return err
	}
	if npz {
		err = p.SaveNPZ(o.save)
	} else {
		err = p.SaveFile(o.save)
	}
	if err != nil {
		return err
	}
	kept := 0.0
	for _, part := range p.ExplainedVarianceRatio() {
		kept += part
	}
	_, err = fmt.Fprintf(out, "%s: %d values to %d components, %.1f %% of the variance, from %d vectors\n", o.save, p.Dim(), p.Components(), 100*kept, p.Count())
	return err
}
