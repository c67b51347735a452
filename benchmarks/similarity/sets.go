package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"

	"github.com/millrace-go/millrace/benchmarks/internal/archive"
	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// set is what some cases search in, and for.
type set struct {
	name string // how the cases' names begin
	dim  int
	make func(ctx context.Context) (*vectors, error)
}

// vectors are a set's, once it is made.
type vectors struct {
	origin  string // in words
	items   []similarity.Item
	queries []vector.Vector // none of the items
}

// The models that tweets are embedded by.
const (
	model384 = "all-MiniLM-L6-v2"
	model768 = "all-mpnet-base-v2"
)

// sets are those that the options ask for.
func (o *options) sets(log io.Writer) []set {
	made := func(rows, dim int) func(context.Context) (*vectors, error) {
		return func(context.Context) (*vectors, error) { return generate(rows, dim), nil }
	}
	make10, make150, make384, make768 := made(o.rows, 10), made(o.rows, 150), made(o.rows, 384), made(o.rows, 768)
	if o.archive != "" {
		make10, make150, make384 = o.reduced(10, log), o.reduced(150, log), o.embedded(model384, log)
		make768 = o.embedded(model768, log)
		if _, err := os.Stat(embed.Installed(model768)); errors.Is(err, fs.ErrNotExist) {
			make768 = func(context.Context) (*vectors, error) {
				v := generate(o.rows, 768)
				v.origin += "; for the tweets' own, run make model-768, which installs " + model768 + " (404 MB)"
				return v, nil
			}
		}
	}
	sets := []set{{"10", 10, make10}, {"150", 150, make150}, {"384", 384, make384}, {"768", 768, make768}}
	if o.large > 0 {
		sets = append(sets, set{fmt.Sprintf("%d rows of 150", o.large), 150, made(o.large, 150)})
	}
	return sets
}

// embedded makes the vectors of tweets by a model.
func (o *options) embedded(model string, log io.Writer) func(context.Context) (*vectors, error) {
	return func(ctx context.Context) (*vectors, error) {
		texts, err := archive.Texts(o.archive, o.rows+queries)
		if err != nil {
			return nil, err
		}
		if len(texts) < 2*queries {
			return nil, fmt.Errorf("%s: %d texts; %d are needed, half of them as queries", o.archive, len(texts), 2*queries)
		}
		all, err := archive.Vectors(ctx, texts, model, log)
		if err != nil {
			return nil, err
		}
		return split(all, "tweets, by "+model), nil
	}
}

// split makes 1,000 vectors queries, spread over all, and the others items.
func split(all []vector.Vector, origin string) *vectors {
	v := &vectors{origin: origin}
	for i, x := range all {
		if len(v.queries) < queries && i >= len(v.queries)*len(all)/queries {
			v.queries = append(v.queries, x)
		} else {
			v.items = append(v.items, similarity.Item{ID: id(len(v.items)), Vector: x})
		}
	}
	return v
}

func id(row int) string { return fmt.Sprintf("%08d", row) }

// reduced makes shorter vectors of those of tweets.
func (o *options) reduced(components int, log io.Writer) func(context.Context) (*vectors, error) {
	return func(ctx context.Context) (*vectors, error) {
		v, err := o.embedded(model384, log)(ctx)
		if err != nil {
			return nil, err
		}
		pca, err := fit(v.items, components)
		if err != nil {
			return nil, err
		}
		v.origin += ", and a PCA to " + strconv.Itoa(components)
		if v.queries, err = pca.Transform(ctx, v.queries); err != nil {
			return nil, err
		}
		for i, it := range v.items {
			short, err := pca.Transform(ctx, []vector.Vector{it.Vector})
			if err != nil {
				return nil, err
			}
			v.items[i].Vector = short[0]
		}
		return v, nil
	}
}

// fit makes a PCA of all items.
func fit(items []similarity.Item, components int) (*reduce.PCA, error) {
	var fitter reduce.PCAFitter
	for _, it := range items {
		if err := fitter.Add(it.Vector); err != nil {
			return nil, err
		}
	}
	return fitter.Fit(components)
}

// generate makes vectors up.
func generate(rows, dim int) *vectors {
	g := newGenerator(dim)
	v := &vectors{origin: "made up", items: g.items(2, 0, rows)}
	for _, it := range g.items(3, 0, queries) {
		v.queries = append(v.queries, it.Vector)
	}
	return v
}

// save writes the values for the peers.
func save(path string, n int, values func(i int) []float32) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var b []byte
	for i := range n {
		b = b[:0]
		for _, v := range values(i) {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		if _, err := w.Write(b); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}
