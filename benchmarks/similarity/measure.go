package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

const (
	neighbours = 10
	queries    = 1000
)

type size struct{ rows, dim int }

// comparison is a case: each system's milliseconds a query, turn by turn.
type comparison struct {
	size
	batch   int
	systems []string
	ms      map[string][]float64
	agree   map[string]float64 // the part of the ids of the first batch that are the exact ones
	refined float64            // rows measured a query, by the refined index
}

// The systems that are ours.
const (
	plainIndex   = "millrace"
	refinedIndex = "millrace refined"
)

// measure runs the cases of a size.
func (r *report) measure(ctx context.Context, s size, python string, errs io.Writer) (err error) {
	_, _ = fmt.Fprintf(errs, "%d rows of %d values\n", s.rows, s.dim)
	dir, err := os.MkdirTemp("", "similarity")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	items, asked := generate(2, s.rows, s.dim), generate(3, queries, s.dim)
	rowsFile, queriesFile := filepath.Join(dir, "rows"), filepath.Join(dir, "queries")
	if err := errors.Join(save(rowsFile, items), save(queriesFile, asked)); err != nil {
		return err
	}
	peers := make(map[string]*process)
	for _, haswell := range []bool{true, false} {
		p, err := start(ctx, python, haswell, errs)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.close()) }()
		if err := p.ask(map[string]any{"rows": rowsFile, "queries": queriesFile, "dim": s.dim}, &struct{}{}); err != nil {
			return err
		}
		if haswell {
			peers["faiss"] = p
		} else {
			peers["numpy"], peers["scikit-learn"], peers["usearch"] = p, p, p
		}
	}
	finders := make(map[string]similarity.Finder)
	index := similarity.NewIndex(similarity.Euclidean)
	if err := index.Add(items...); err != nil {
		return err
	}
	finders[plainIndex] = index
	var refined *similarity.Refined
	if s.dim > 300 {
		if refined, err = refine(items, 150); err != nil {
			return err
		}
		finders[refinedIndex] = refined
	}
	vectors := make([]vector.Vector, len(asked))
	for i, it := range asked {
		vectors[i] = it.Vector
	}
	exact := bruteForce(items, vectors[:64])
	r.bandwidth = append(r.bandwidth, bandwidth(4*s.rows*s.dim))
	for _, batch := range []int{1, 64, 1000} {
		c := &comparison{size: s, batch: batch, ms: make(map[string][]float64), agree: make(map[string]float64)}
		for _, name := range []string{plainIndex, refinedIndex, "faiss", "numpy", "scikit-learn", "usearch"} {
			// numpy at 1,000 x 1,000,000 would take 4 GB of distances.
			if finders[name] == nil && peers[name] == nil || name == "numpy" && batch*s.rows > 2e8 {
				continue
			}
			c.systems = append(c.systems, name)
		}
		for turn := range r.turns {
			for i := range c.systems {
				name := c.systems[(i+turn)%len(c.systems)] // each is first some time
				var ms float64
				var ids [][]int
				if f := finders[name]; f != nil {
					ms, ids, err = r.ours(ctx, f, vectors, batch)
				} else {
					ms, ids, err = r.theirs(peers[name], name, batch)
				}
				if err != nil {
					return fmt.Errorf("%s, batch %d: %w", name, batch, err)
				}
				c.ms[name] = append(c.ms[name], ms)
				c.agree[name] = agreement(ids, exact)
			}
		}
		for _, name := range []string{plainIndex, refinedIndex} {
			if a, ok := c.agree[name]; ok && a != 1 {
				return fmt.Errorf("%s, batch %d: only %.4f of the ids are those of float64 brute force", name, batch, a)
			}
		}
		if refined != nil {
			_, work, err := refined.Search(ctx, vectors, neighbours, 0)
			if err != nil {
				return err
			}
			for _, w := range work {
				c.refined += float64(w.Measured) / float64(len(work))
			}
		}
		r.cases = append(r.cases, c)
		_, _ = fmt.Fprintf(errs, "  batches of %d: ", batch)
		for _, name := range c.systems {
			_, _ = fmt.Fprintf(errs, " %s %.4f", name, results.Quantile(c.ms[name], 0.5))
		}
		_, _ = fmt.Fprintln(errs, " ms/query")
	}
	return nil
}

// refine makes a refined index through a PCA of all items.
func refine(items []similarity.Item, components int) (*similarity.Refined, error) {
	var fitter reduce.PCAFitter
	for _, it := range items {
		if err := fitter.Add(it.Vector); err != nil {
			return nil, err
		}
	}
	pca, err := fitter.Fit(components)
	if err != nil {
		return nil, err
	}
	x, err := similarity.NewRefined(similarity.Euclidean, pca)
	if err != nil {
		return nil, err
	}
	return x, x.Add(items...)
}

// ours measures a Finder for a turn: the median, and the first batch's ids.
func (r *report) ours(ctx context.Context, f similarity.Finder, vectors []vector.Vector, batch int) (float64, [][]int, error) {
	hits, err := f.Nearest(ctx, vectors[:batch], neighbours)
	if err != nil {
		return 0, nil, err
	}
	var ids [][]int
	for _, answer := range hits {
		var row []int
		for _, h := range answer {
			id, err := strconv.Atoi(h.ID)
			if err != nil {
				return 0, nil, err
			}
			row = append(row, id)
		}
		ids = append(ids, row)
	}
	var ms []float64
	batches := len(vectors) / batch
	for begin := time.Now(); len(ms) == 0 || time.Since(begin).Seconds() < r.seconds; {
		at := len(ms) % batches * batch
		start := time.Now()
		if _, err := f.Nearest(ctx, vectors[at:at+batch], neighbours); err != nil {
			return 0, nil, err
		}
		ms = append(ms, time.Since(start).Seconds()*1e3/float64(batch))
	}
	return results.Quantile(ms, 0.5), ids, nil
}

func (r *report) theirs(p *process, name string, batch int) (float64, [][]int, error) {
	var answer struct {
		MS  float64 `json:"ms"`
		IDs [][]int `json:"ids"`
	}
	err := p.ask(map[string]any{"system": name, "batch": batch, "k": neighbours, "seconds": r.seconds}, &answer)
	return answer.MS, answer.IDs, err
}

// bruteForce is the definition, in float64.
func bruteForce(items []similarity.Item, vectors []vector.Vector) [][]int {
	type near struct {
		id     int
		square float64
	}
	answers := make([][]int, len(vectors))
	for i, q := range vectors {
		all := make([]near, len(items))
		for id, it := range items {
			sum := 0.0
			for d, v := range it.Vector.Values {
				e := float64(v) - float64(q.Values[d])
				sum += e * e
			}
			all[id] = near{id, sum}
		}
		slices.SortFunc(all, func(a, b near) int {
			switch {
			case a.square < b.square:
				return -1
			case a.square > b.square:
				return 1
			}
			return a.id - b.id
		})
		for _, n := range all[:neighbours] {
			answers[i] = append(answers[i], n.id)
		}
	}
	return answers
}

// agreement is the part of the ids that are exact, each in its place.
func agreement(got, exact [][]int) float64 {
	same, all := 0, 0
	for i := range min(len(got), len(exact)) {
		for j, id := range exact[i] {
			if all++; j < len(got[i]) && got[i][j] == id {
				same++
			}
		}
	}
	return float64(same) / float64(all)
}
