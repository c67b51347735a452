package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

// inPaper are the paper's seconds a question, by dimensions; the first is "over
// 2".
func inPaper() map[int]float64 { return map[int]float64{10: 2, 150: 4.2, 768: 48.9} }

func (s *size) name() string {
	if s.full {
		return fmt.Sprintf("figure 3, all %d dimensions", s.dim)
	}
	return fmt.Sprintf("figure 3, %d dimensions", s.dim)
}

// rows are the results, one row a case and system.
func (r *report) rows() []results.Row {
	var rows []results.Row
	for _, c := range r.cases {
		for _, name := range systems() {
			rows = append(rows, results.Row{Case: c.name(), System: name, Metric: "ms/question", Value: results.Summarize(c.ms[name]).Median, Better: "lower"})
		}
		rows = append(rows, results.Row{Case: c.name() + ", neighbours", System: inProcess, Metric: "10 nearest kept", Value: c.recall, Better: "higher"})
	}
	return rows
}

// text is the report for people.
func (r *report) text() string {
	var b strings.Builder
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format, args...) }
	p("# The paper's Figure 3, again\n\nBy `make figure3`, %s. %s; load before: %s.\n\n", time.Now().UTC().Format("2006-01-02"), results.Machine(), r.load)
	p("![time a question, and neighbours kept, by dimensions](figure3.svg)\n\n")
	p("%d rows of %s, seed %d. One question at a time, its %d nearest by Euclidean distance: milliseconds, the median of %d turns of %d questions by turns, in brackets the lowest and the highest of the turns' medians. ",
		r.count, r.what, r.seed, neighbours, r.rounds, r.questions)
	p("All systems gave the same answer. Kept: how much of the true neighbours (by all dimensions, of %d questions that are no rows) a PCA to so many still finds; the paper's column is what it reports of BigQuery in 2019, seconds. ", held)
	p("The emulator is DuckDB on this machine: its times tell the shapes of the queries apart, and are not BigQuery's.\n\n")
	p("| dimensions | the paper | its query, emulator | our query, emulator | pgvector | in process | nearest kept | %d nearest kept |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n", neighbours)
	for _, c := range r.cases {
		p("| %d |", c.dim)
		switch seconds := inPaper()[c.dim]; {
		case c.dim == 10:
			p(" over %g s |", seconds)
		case seconds > 0:
			p(" %g s |", seconds)
		default:
			p(" |")
		}
		for _, name := range systems() {
			s := results.Summarize(c.ms[name])
			p(" %.3g (%.3g to %.3g) |", s.Median, s.Low, s.High)
		}
		p(" %.1f %% | %.1f %% |\n", 100*c.first, 100*c.recall)
	}
	return b.String()
}
