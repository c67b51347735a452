// Pca measures how long it takes to fit a PCA and to reduce vectors by it,
// beside scikit-learn, numpy, faiss and gonum: the same vectors, by turns.
//
// It installs the peers by pip into the cache folder, once, and writes
// benchmarks/results/pca.json and pca.md. -h tells the flags.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
	"github.com/millrace-go/millrace/internal/npy"
	"github.com/millrace-go/millrace/similarity/vector"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "pca:", err)
		os.Exit(1)
	}
}

type options struct {
	out        string
	vectors    string
	count      int
	dim        int
	components int
	rounds     int
	gonum      int
	single     int
}

func (o *options) parse(args []string, errs io.Writer) error {
	f := flag.NewFlagSet("pca", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.out, "out", "benchmarks/results", "`folder` for the results; none are written if empty")
	f.StringVar(&o.vectors, "vectors", "", "numpy `file` of vectors; made up, in clusters, if empty")
	f.IntVar(&o.count, "rows", 30_445, "how many vectors to make up")
	f.IntVar(&o.dim, "dim", 768, "of how many values")
	f.IntVar(&o.components, "components", 150, "how many values to reduce to")
	f.IntVar(&o.rounds, "rounds", 9, "how many turns each has")
	f.IntVar(&o.gonum, "gonum", 1, "how many turns gonum has, which takes half a minute for one")
	f.IntVar(&o.single, "single", 2000, "how many vectors to reduce one by one in a turn")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.count < 4*o.components || o.components < 1 || o.dim < o.components || o.rounds < 1 || o.single < 1 || o.single > o.count {
		return errors.New("no arguments; at least one round, vectors of as many values as components and four times as many, and no more single ones; see -h")
	}
	return nil
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o := &options{}
	if err := o.parse(args, errs); err != nil {
		return err
	}
	interpreter, err := environment().Install(ctx, errs)
	if err != nil {
		return err
	}
	vectors, err := o.load()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-pca")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: *o, ours: &millrace{vectors: vectors, k: o.components}, log: errs, load: results.Load()}
	b.add("millrace", b.ours)
	file := filepath.Join(dir, "vectors.npy")
	if err := save(file, vectors); err != nil {
		return err
	}
	var scikit *peer
	for _, name := range []string{"scikit-learn", "scikit-learn float64", "numpy", "faiss"} {
		p, err := startPeer(ctx, interpreter, name, file, o.components)
		if err != nil {
			return err
		}
		defer p.close()
		b.add(name, python{p})
		if scikit == nil {
			scikit = p
		}
	}
	if o.gonum > 0 {
		b.add("gonum", newGonum(vectors, o.components))
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	if b.difference, err = difference(scikit, filepath.Join(dir, "components.npy"), b.ours); err != nil {
		return err
	}
	if b.difference > 1e-4 {
		return fmt.Errorf("the components differ from scikit-learn's by %.2g", b.difference)
	}
	if err := exchanged(ctx, scikit, dir, b.ours); err != nil {
		return err
	}
	text := b.text()
	_, _ = io.WriteString(out, text)
	if o.out == "" {
		return nil
	}
	return results.Write(o.out, "pca", b.rows(), text)
}

// load reads the vectors, or makes some up: 300 clusters, of length 1.
func (o *options) load() ([]vector.Vector, error) {
	if o.vectors == "" {
		return o.clusters(), nil
	}
	f, err := os.Open(o.vectors)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a, err := npy.NewReader(f)
	if err != nil {
		return nil, err
	}
	if len(a.Shape) != 2 || a.Shape[0] < 4*o.components || a.Shape[1] < o.components || a.Shape[0] < o.single {
		return nil, fmt.Errorf("%s: an array of shape %v; want enough vectors x values for %d components", o.vectors, a.Shape, o.components)
	}
	values, err := npy.Values[float32](a)
	if err != nil {
		return nil, err
	}
	o.count, o.dim = a.Shape[0], a.Shape[1]
	return cut(values, o.dim), nil
}

func (o *options) clusters() []vector.Vector {
	rng := rand.New(rand.NewPCG(7, 0))
	centres := make([]float32, 300*o.dim)
	for i := range centres {
		centres[i] = float32(rng.NormFloat64())
	}
	values := make([]float32, o.count*o.dim)
	for i := range o.count {
		row, centre := values[i*o.dim:(i+1)*o.dim], centres[rng.IntN(300)*o.dim:]
		squares := 0.0
		for j := range row {
			row[j] = centre[j] + 0.7*float32(rng.NormFloat64())
			squares += float64(row[j]) * float64(row[j])
		}
		for j := range row {
			row[j] = float32(float64(row[j]) / math.Sqrt(squares))
		}
	}
	return cut(values, o.dim)
}

func cut(values []float32, dim int) []vector.Vector {
	vectors := make([]vector.Vector, len(values)/dim)
	for i := range vectors {
		vectors[i] = vector.Vector{Space: "bench", Values: values[i*dim : (i+1)*dim]}
	}
	return vectors
}

// save writes the vectors for the peers, as float32.
func save(file string, vectors []vector.Vector) error {
	dim := len(vectors[0].Values)
	values := make([]float32, 0, len(vectors)*dim)
	for _, v := range vectors {
		values = append(values, v.Values...)
	}
	var b bytes.Buffer
	if err := npy.Write(&b, values, len(vectors), dim); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}
