package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

// report is all that was measured.
type report struct {
	options
	load      string
	flops     float64   // GFLOP/s of the machine
	bandwidth []float64 // GB/s, of each size
	cases     []*comparison
}

func (c *comparison) name() string {
	how := "single"
	if c.batch > 1 {
		how = fmt.Sprintf("batch %d", c.batch)
	}
	if c.rows > 100_000 {
		return fmt.Sprintf("%d rows of %d %s", c.rows, c.dim, how)
	}
	return fmt.Sprintf("%d %s", c.dim, how)
}

// rows are the results, one row a case and system. The refined index has cases
// of its own.
func (r *report) rows() []results.Row {
	var rows []results.Row
	row := func(name, system string, value float64) {
		rows = append(rows, results.Row{Case: name, System: system, Metric: "ms/query", Value: value, Better: "lower"})
	}
	for _, c := range r.cases {
		for _, s := range c.systems {
			if s != refinedIndex {
				row(c.name(), s, results.Quantile(c.ms[s], 0.5))
			}
		}
		if refined := c.ms[refinedIndex]; refined != nil {
			name := c.name() + " filter and refine through 150"
			row(name, plainIndex, results.Quantile(refined, 0.5))
			for _, s := range c.systems {
				if s != plainIndex && s != refinedIndex {
					row(name, s, results.Quantile(c.ms[s], 0.5))
				}
			}
		}
	}
	return rows
}

// text is the report for people.
func (r *report) text() string {
	var b strings.Builder
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format, args...) }
	p("# The nearest 10, in process\n\nBy `make bench-similarity`, %s. %s; load before: %s.\n\n", time.Now().UTC().Format("2006-01-02"), results.Machine(), r.load)
	p("Milliseconds a query: the median of %d turns of %.1f s, the systems by turns, %d threads each, the lowest and the highest turn in brackets. ", r.turns, r.seconds, runtime.GOMAXPROCS(0))
	p("Synthetic vectors: clusters, and directions of falling strength. Euclidean; millrace's ids are those of float64 brute force, in every case (64 queries checked), ")
	p("the peers' in the part that the last table tells. \"refined\" is the exact answer through a PCA to 150 values.\n")
	for i, c := range r.cases {
		if c.batch == 1 {
			p("\n## %d rows of %d values\n\n", c.rows, c.dim)
			p("| system | single | batches of 64 | batches of 1,000 |\n| --- | --- | --- | --- |\n")
			for _, s := range c.systems {
				p("| %s |", s)
				for _, c := range r.cases[i : i+3] {
					if ms := c.ms[s]; ms != nil {
						p(" %.4f (%.4f to %.4f) |", results.Quantile(ms, 0.5), results.Quantile(ms, 0), results.Quantile(ms, 1))
					} else {
						p(" |")
					}
				}
				p("\n")
			}
			r.limits(p, i)
			if c.refined > 0 {
				p("\nRefined: %.0f rows a query are measured, %.2f %%.\n", c.refined, 100*c.refined/float64(c.rows))
			}
		}
	}
	p("\n## Ids that are the exact ones, in their places\n\n| case |")
	peers := []string{"faiss", "numpy", "scikit-learn", "usearch"}
	p(" %s |\n| --- | --- | --- | --- | --- |\n", strings.Join(peers, " | "))
	for _, c := range r.cases {
		p("| %s |", c.name())
		for _, s := range peers {
			if a, ok := c.agree[s]; ok {
				p(" %.4f |", a)
			} else {
				p(" |")
			}
		}
		p("\n")
	}
	return b.String()
}

// limits says what the plain index reaches of what the machine can.
func (r *report) limits(p func(string, ...any), i int) {
	if r.flops == 0 {
		return
	}
	c := r.cases[i]
	pairs := float64(c.rows) * float64(c.dim)
	per := func(c *comparison) float64 { return results.Quantile(c.ms[plainIndex], 0.5) * 1e6 } // ns a query
	gigabytes, limit := 4*pairs/per(c), r.bandwidth[i/3]
	p("\nA single query reads %.1f GB/s, %.2f of the %.1f that the machine can of so much memory.", gigabytes, gigabytes/limit, limit)
	for _, c := range r.cases[i+1 : i+3] {
		flops := 2 * pairs / per(c)
		p(" A batch of %d does %.0f GFLOP/s, %.2f of %.0f.", c.batch, flops, flops/r.flops, r.flops)
	}
	p("\n")
}
