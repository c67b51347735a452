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
	"github.com/millrace-go/millrace/similarity"
)

const (
	neighbours = 10
	queries    = 1000
	through    = 150
)

// The systems that are ours.
const (
	plainIndex     = "millrace"
	quantizedIndex = "millrace quantized"
	refinedIndex   = "millrace refined"
	refinedCodes   = "millrace refined, quantized"
)

func exactIndexes() []string {
	return append([]string{plainIndex, quantizedIndex}, refinedIndexes()...)
}

func refinedIndexes() []string { return []string{refinedIndex, refinedCodes} }

func peers() []string { return []string{"faiss", "numpy", "scikit-learn", "usearch"} }

func systems() []string { return append(exactIndexes(), peers()...) }

// bench measures the cases of a set.
type bench struct {
	options
	set
	python string
	log    io.Writer

	*vectors  // nil after run
	count     int
	origin    string
	finders   map[string]similarity.Finder
	peers     map[string]*process
	checked   int            // queries whose exact answers are known
	exact     [][]int        // these
	bandwidth func() float64 // GB/s, of so much memory
	cases     []*comparison
}

// comparison is a case: each system's milliseconds a query, turn by turn.
type comparison struct {
	name    string
	batch   int
	systems []string
	ms      map[string][]float64
	limits  []float64            // GB/s for single queries, GFLOP/s for batches, that the machine can: before each turn of the plain index
	agree   map[string]float64   // the part of the ids of the first batch that are the exact ones
	work    map[string][]float64 // rows measured, of each query, by the refined indexes
}

// name of the case with such batches.
func (s *set) caseName(batch int) string {
	if batch == 1 {
		return s.name + " single"
	}
	return fmt.Sprintf("%s batch %d", s.name, batch)
}

func (b *bench) run(ctx context.Context) (err error) {
	for _, batch := range []int{1, 64, queries} {
		if name := b.caseName(batch); b.wants(name) {
			b.cases = append(b.cases, &comparison{name: name, batch: batch, ms: make(map[string][]float64), agree: make(map[string]float64), work: make(map[string][]float64)})
		}
	}
	if len(b.cases) == 0 {
		return nil
	}
	_, _ = fmt.Fprintf(b.log, "%s values\n", b.name)
	if b.vectors, err = b.make(ctx); err != nil {
		return err
	}
	b.count, b.origin = len(b.items), b.vectors.origin
	stop, err := b.startPeers(ctx)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return err
	}
	if err := b.build(); err != nil {
		return err
	}
	// All queries are held against float64 brute force where that is soon done.
	b.checked = min(queries, max(64, 40_000_000/b.count))
	b.exact = bruteForce(b.items, b.queries[:b.checked])
	b.bandwidth = bandwidth(4 * len(b.items) * b.dim)
	for _, c := range b.cases {
		if err := b.compare(ctx, c); err != nil {
			return fmt.Errorf("batch %d: %w", c.batch, err)
		}
		_, _ = fmt.Fprintf(b.log, "  %s: ", c.name)
		for _, name := range c.systems {
			_, _ = fmt.Fprintf(b.log, " %s %.4f", name, results.Quantile(c.ms[name], 0.5))
		}
		_, _ = fmt.Fprintln(b.log, " ms/query")
	}
	return nil
}

// startPeers starts the peers and gives them the vectors. stop is never nil.
func (b *bench) startPeers(ctx context.Context) (stop func() error, err error) {
	var started []*process
	stop = func() error {
		var err error
		for _, p := range started {
			err = errors.Join(err, p.close())
		}
		b.vectors, b.peers, b.finders, b.bandwidth = nil, nil, nil, nil // so that the next set has the memory
		return err
	}
	dir, err := os.MkdirTemp("", "similarity")
	if err != nil {
		return stop, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rowsFile, queriesFile := filepath.Join(dir, "rows"), filepath.Join(dir, "queries")
	err = errors.Join(
		save(rowsFile, len(b.items), func(i int) []float32 { return b.items[i].Vector.Values }),
		save(queriesFile, len(b.queries), func(i int) []float32 { return b.queries[i].Values }),
	)
	if err != nil {
		return stop, err
	}
	b.peers = make(map[string]*process)
	for _, haswell := range []bool{true, false} {
		p, err := start(ctx, b.python, haswell, b.log)
		if err != nil {
			return stop, err
		}
		started = append(started, p)
		if err := p.ask(map[string]any{"rows": rowsFile, "queries": queriesFile, "dim": b.dim}, &struct{}{}); err != nil {
			return stop, err
		}
		if haswell {
			b.peers["faiss"] = p
		} else {
			b.peers["numpy"], b.peers["scikit-learn"], b.peers["usearch"] = p, p, p
		}
	}
	return stop, nil
}

// build makes our indexes.
func (b *bench) build() error {
	b.finders = make(map[string]similarity.Finder)
	index := similarity.NewIndex(similarity.Euclidean)
	b.finders[plainIndex] = index
	if err := index.Add(b.items...); err != nil {
		return err
	}
	if b.dim >= through {
		quantized := similarity.NewIndex(similarity.Euclidean, similarity.Quantized())
		b.finders[quantizedIndex] = quantized
		if err := quantized.Add(b.items...); err != nil {
			return err
		}
	}
	if b.dim < 2*through {
		return nil
	}
	pca, err := fit(b.items, through)
	if err != nil {
		return err
	}
	for name, options := range map[string][]similarity.Option{refinedIndex: nil, refinedCodes: {similarity.Quantized()}} {
		refined, err := similarity.NewRefined(similarity.Euclidean, pca, options...)
		if err != nil {
			return err
		}
		b.finders[name] = refined
		if err := refined.Add(b.items...); err != nil {
			return err
		}
	}
	return nil
}

// compare has all systems take turns at a case.
func (b *bench) compare(ctx context.Context, c *comparison) error {
	for _, name := range systems() {
		if b.finders[name] != nil || b.peers[name] != nil {
			c.systems = append(c.systems, name)
		}
	}
	slow := make(map[string]bool)
	limit := flops
	if c.batch == 1 {
		limit = b.bandwidth
	}
	for turn := range b.turns {
		for i := range c.systems {
			name := c.systems[(i+turn)%len(c.systems)] // each is first some time
			if slow[name] {
				continue
			}
			if name == plainIndex {
				c.limits = append(c.limits, limit())
			}
			begin := time.Now()
			var ms float64
			var ids [][]int
			var err error
			if f := b.finders[name]; f != nil {
				ms, ids, err = b.ours(ctx, f, c.batch)
			} else {
				ms, ids, err = b.theirs(b.peers[name], name, c.batch)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			slow[name] = time.Since(begin).Seconds() > 8 // one turn is enough of that
			c.ms[name] = append(c.ms[name], ms)
			c.agree[name] = agreement(ids, b.exact)
		}
	}
	for _, name := range exactIndexes() {
		if f := b.finders[name]; f != nil {
			if err := b.proof(ctx, f, name, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// proof asks an index of ours, in the case's batches, all queries whose exact
// answers are known, and notes what a refined one had to measure.
func (b *bench) proof(ctx context.Context, f similarity.Finder, name string, c *comparison) error {
	asked := 0
	for some := range slices.Chunk(b.queries[:b.checked], c.batch) {
		var hits [][]similarity.Hit
		var err error
		if refined, ok := f.(*similarity.Refined); ok {
			var work []similarity.Work
			hits, work, err = refined.Search(ctx, some, neighbours, 0)
			for i, w := range work {
				if !w.Proved {
					return fmt.Errorf("%s: the answer to query %d is not proved", name, asked+i)
				}
				c.work[name] = append(c.work[name], float64(w.Measured))
			}
		} else {
			hits, err = f.Nearest(ctx, some, neighbours)
		}
		if err != nil {
			return err
		}
		ids, err := rows(hits)
		if err != nil {
			return err
		}
		for _, got := range ids {
			if !slices.Equal(got, b.exact[asked]) {
				return fmt.Errorf("%s: query %d has other ids than float64 brute force", name, asked)
			}
			asked++
		}
	}
	return nil
}

// ours measures a Finder for a turn: the median, and the first batch's ids. The
// first call does not count if there is another one.
func (b *bench) ours(ctx context.Context, f similarity.Finder, batch int) (ms float64, ids [][]int, err error) {
	var all []float64
	batches := len(b.queries) / batch
	for begin := time.Now(); len(all) == 0 || time.Since(begin).Seconds() < b.seconds; {
		at := len(all) % batches * batch
		start := time.Now()
		hits, err := f.Nearest(ctx, b.queries[at:at+batch], neighbours)
		all = append(all, time.Since(start).Seconds()*1e3/float64(batch))
		if err != nil {
			return 0, nil, err
		}
		if ids == nil {
			if ids, err = rows(hits); err != nil {
				return 0, nil, err
			}
		}
	}
	return results.Quantile(all[min(1, len(all)-1):], 0.5), ids, nil
}

// rows are the places of what was found.
func rows(hits [][]similarity.Hit) ([][]int, error) {
	ids := make([][]int, len(hits))
	for i, answer := range hits {
		for _, h := range answer {
			row, err := strconv.Atoi(h.ID)
			if err != nil {
				return nil, err
			}
			ids[i] = append(ids[i], row)
		}
	}
	return ids, nil
}

func (b *bench) theirs(p *process, name string, batch int) (float64, [][]int, error) {
	var answer struct {
		MS  float64 `json:"ms"`
		IDs [][]int `json:"ids"`
	}
	err := p.ask(map[string]any{"system": name, "batch": batch, "k": neighbours, "seconds": b.seconds}, &answer)
	return answer.MS, answer.IDs, err
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

// reached is the part of the limits that the plain index reaches, of so many
// million bytes or operations a query: the median of the turns, each beside
// its own limit.
func (c *comparison) reached(work float64) float64 {
	parts := make([]float64, len(c.limits))
	for i, limit := range c.limits {
		parts[i] = work / c.ms[plainIndex][i] / limit
	}
	return results.Quantile(parts, 0.5)
}

// median of what a system took in the case.
func (c *comparison) median(system string) float64 { return results.Quantile(c.ms[system], 0.5) }
