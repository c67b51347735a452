package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

const (
	growthName = "growth"
	growthDim  = 150
	growthPart = 250_000 // rows that are made at a time
)

// growth is how long a search takes of so many rows, milliseconds a query.
type growth struct {
	rows          int
	single, batch float64
	approximate   *approximate // nil where it was not measured
}

// grow measures an index while it grows from 10,000 rows to the most, or to
// what half of the free memory holds; then, when it is gone, IVFs.
func (r *report) grow(ctx context.Context, log io.Writer) ([]growth, error) {
	g := newGenerator(growthDim)
	var asked []vector.Vector
	for _, it := range g.items(3, 0, queries) {
		asked = append(asked, it.Vector)
	}
	most := r.most
	if free := available(); free > 0 {
		most = min(most, free/2/(4*growthDim+200))
		// What grows leaves as much behind: it goes before memory does.
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(int64(free) * 9 / 10))
	}
	b := bench{options: r.options, vectors: &vectors{queries: asked}}
	all, err := b.growExact(ctx, g, most, log)
	if err != nil {
		return nil, err
	}
	for i := range all {
		now := &all[i]
		if now.rows < approximateFrom {
			continue
		}
		debug.FreeOSMemory()
		if now.approximate, err = b.approximate(ctx, g, now.rows); err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(log, "  %s: %d rows, approximate: single %.4f, batch of 64 %.4f ms/query\n", growthName, now.rows, now.approximate.single, now.approximate.batch)
	}
	return all, nil
}

// growExact measures the exact index.
func (b *bench) growExact(ctx context.Context, g *generator, most int, log io.Writer) ([]growth, error) {
	index := similarity.NewIndex(similarity.Euclidean)
	var all []growth
	for rows := 10_000; rows <= most; rows *= 10 {
		for n := index.Len(); n < rows; n = index.Len() {
			if err := index.Add(g.items(2, n, min(growthPart, rows-n))...); err != nil {
				return nil, err
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		now := growth{rows: rows}
		var err error
		if now.single, _, err = b.ours(ctx, index, 1); err != nil {
			return nil, err
		}
		if now.batch, _, err = b.ours(ctx, index, 64); err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(log, "  %s: %d rows: single %.4f, batch of 64 %.4f ms/query\n", growthName, rows, now.single, now.batch)
		all = append(all, now)
	}
	return all, nil
}

// available is how many bytes of memory are free, by Linux; 0 if it is not
// known.
func available() int {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kilobytes int
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			if _, err := fmt.Sscan(rest, &kilobytes); err == nil {
				return kilobytes << 10
			}
		}
	}
	return 0
}

func (g growth) results() []results.Row {
	name := fmt.Sprintf("%s %d rows of %d", growthName, g.rows, growthDim)
	rows := []results.Row{
		{Case: name + " single", System: plainIndex, Metric: "ms/query", Value: g.single, Better: "lower"},
		{Case: name + " batch 64", System: plainIndex, Metric: "ms/query", Value: g.batch, Better: "lower"},
	}
	return append(rows, g.approximate.results(name)...)
}
