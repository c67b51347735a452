package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

// report is all that was measured.
type report struct {
	options
	load    string
	benches []*bench
	growth  []growth
}

// rows are the results, one row a case and system. The refined and the quantized
// index have cases of their own.
func (r *report) rows() []results.Row {
	var rows []results.Row
	row := func(name, system string, value float64) {
		rows = append(rows, results.Row{Case: name, System: system, Metric: "ms/query", Value: value, Better: "lower"})
	}
	for _, b := range r.benches {
		for _, c := range b.cases {
			theirs := func(name string) {
				for _, s := range c.systems {
					if slices.Contains(peers(), s) {
						row(name, s, c.median(s))
					}
				}
			}
			row(c.name, plainIndex, c.median(plainIndex))
			theirs(c.name)
			for _, own := range [][2]string{
				{quantizedIndex, c.name + " quantized"},
				{refinedIndex, fmt.Sprintf("%s filter and refine through %d", c.name, through)},
				{refinedCodes, fmt.Sprintf("%s filter and refine through %d quantized", c.name, through)},
			} {
				if s, name := own[0], own[1]; c.ms[s] != nil {
					row(name, plainIndex, c.median(s))
					row(name, "millrace plain", c.median(plainIndex))
					theirs(name)
				}
			}
		}
	}
	for _, g := range r.growth {
		rows = append(rows, g.results()...)
	}
	return rows
}

// text is the report for people.
func (r *report) text() string {
	var t strings.Builder
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(&t, format, args...) }
	p("# The nearest %d, in process\n\nBy `make bench-similarity`, %s. %s; load before: %s.\n\n", neighbours, time.Now().UTC().Format("2006-01-02"), results.Machine(), r.load)
	p("Milliseconds a query: the median of up to %d turns of %.1f s, the systems by turns, the lowest and the highest turn in brackets. ", r.turns, r.seconds)
	p("%d threads each; each peer by the threads and settings that are its fastest in that case. Euclidean. What the machine can is measured before each turn of millrace, and a median too, as the part of it is that millrace reaches. millrace's ids are those of float64 brute force in every case, ", runtime.GOMAXPROCS(0))
	p("the peers' in the part that a table below tells. \"refined\" is the exact answer through a PCA to %d values: the same as the plain index's, for all %d queries; \"quantized\" is that of a scan of a byte a value, of the vector or of what PCA makes of it.\n", through, queries)
	for _, b := range r.benches {
		b.text(p)
	}
	r.agreement(p)
	if len(r.growth) > 0 {
		p("\n## Growth\n\nmillrace, exact, made-up rows of %d values.\n\n| rows | single, ms | ns a row | batches of 64, ms a query | ns a row |\n| --- | --- | --- | --- | --- |\n", growthDim)
		for _, g := range r.growth {
			p("| %d | %.4f | %.2f | %.4f | %.2f |\n", g.rows, g.single, g.single*1e6/float64(g.rows), g.batch, g.batch*1e6/float64(g.rows))
		}
		r.approximate(p)
	}
	return t.String()
}

// text is a set's table, and what the machine could do.
func (b *bench) text(p func(string, ...any)) {
	p("\n## %d rows of %d values\n\n%s. The exact ids of %d queries are known.\n\n| system |", b.count, b.dim, strings.ToUpper(b.origin[:1])+b.origin[1:], b.checked)
	for _, c := range b.cases {
		p(" %s |", strings.TrimPrefix(c.name, b.name+" "))
	}
	p("\n| --- |%s\n", strings.Repeat(" --- |", len(b.cases)))
	for _, s := range b.cases[0].systems {
		p("| %s |", s)
		for _, c := range b.cases {
			p(" %.4f (%.4f to %.4f) |", c.median(s), results.Quantile(c.ms[s], 0), results.Quantile(c.ms[s], 1))
		}
		p("\n")
	}
	for _, c := range b.cases {
		peer, fastest := "", 0.0
		for _, s := range c.systems {
			if slices.Contains(peers(), s) && (peer == "" || c.median(s) < fastest) {
				peer, fastest = s, c.median(s)
			}
		}
		ours := c.median(plainIndex)
		p("\n%s: %.2f times as fast as %s, the fastest peer", c.name, fastest/ours, peer)
		pairs := float64(b.count) * float64(b.dim)
		most := results.Quantile(c.limits, 0.5)
		if c.batch == 1 && most > 0 {
			p("; reads %.1f GB/s, %.2f of the %.1f that the machine can of so much memory", 4*pairs/ours/1e6, c.reached(4*pairs/1e6), most)
		}
		if c.batch > 1 && most > 0 {
			p("; does %.0f GFLOP/s, %.2f of the %.0f that the machine can", 2*pairs/ours/1e6, c.reached(2*pairs/1e6), most)
		}
		p(".")
		for _, name := range exactIndexes()[1:] {
			if c.ms[name] == nil {
				continue
			}
			m := c.median(name)
			p(" %s: %.2f times as fast as the plain index, %.2f as faiss, %.2f as %s.", name, ours/m, c.median("faiss")/m, fastest/m, peer)
			if work := c.work[name]; c.batch == 1 && work != nil {
				part := func(q float64) float64 { return 100 * results.Quantile(work, q) / float64(b.count) }
				p(" It measures %.0f rows a query at the median (%.2f %%), %.0f at p95 (%.2f %%).", results.Quantile(work, 0.5), part(0.5), results.Quantile(work, 0.95), part(0.95))
			}
		}
		p("\n")
	}
}

// agreement is the peers' part of exact ids.
func (r *report) agreement(p func(string, ...any)) {
	if len(r.benches) == 0 {
		return
	}
	peers := peers()
	p("\n## Ids of the first batch that are the exact ones, in their places\n\n| case | %s |\n| --- |%s\n", strings.Join(peers, " | "), strings.Repeat(" --- |", len(peers)))
	for _, b := range r.benches {
		for _, c := range b.cases {
			p("| %s |", c.name)
			for _, s := range peers {
				p(" %.4f |", c.agree[s])
			}
			p("\n")
		}
	}
}
