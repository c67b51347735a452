package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

// report is what becomes of the measurements.
type report struct {
	*bench
	load string // before the start
}

// own are millrace's two settings.
func (r *report) own() (throughput, latency *measured) {
	for _, m := range r.systems {
		switch {
		case m.stage:
			throughput = m
		case m.latency:
			latency = m
		}
	}
	return throughput, latency
}

// ratios compares round by round, since the machine changes from round to round.
func ratios(a, b []float64) (rs []float64) {
	for i := range a {
		rs = append(rs, a[i]/b[i])
	}
	return rs
}

func median(values []float64) float64 { return results.Quantile(values, 0.5) }

func (m *measured) single(q float64) float64 { return results.Quantile(slices.Concat(m.ms...), q) }

func (r *report) rows() (rows []results.Row) {
	add := func(what, system, metric string, value float64, better string) {
		rows = append(rows, results.Row{Case: what, System: system, Metric: metric, Value: math.Round(value*1000) / 1000, Better: better})
	}
	throughput, latency := r.own()
	for _, m := range r.systems {
		if m != latency {
			add("embed throughput", m.name, "sentences/s", median(m.rate), "higher")
			add("embed processor time", m.name, "ms/sentence", median(m.processor), "lower")
			add("embed peak memory", m.name, "MiB", m.peak, "lower")
		}
		if m != throughput {
			add("embed single sentence p50", m.name, "ms/sentence", m.single(0.5), "lower")
			add("embed single sentence p99", m.name, "ms/sentence", m.single(0.99), "lower")
		}
	}
	add("embed throughput all threads on a batch", latency.name, "sentences/s", median(latency.rate), "higher")
	add("embed throughput all threads on a batch", r.again.name, "sentences/s", median(r.systems[0].rate), "higher")
	add("embed queries with the same nearest as "+r.found.reference, r.staged.name, "of "+strconv.Itoa(r.found.queries), float64(r.found.same), "higher")
	add("embed throughput through a Kafka stage", r.staged.name, "records/s", median(r.staged.rate), "higher")
	return rows
}

// span is the median of ratios, the lowest and the highest.
func span(rs []float64) string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(rs), slices.Min(rs), slices.Max(rs))
}

// text is the report for people.
func (r *report) text() string {
	var b strings.Builder
	own, latency := r.own()
	fmt.Fprintf(&b, `# Text to vector

%d tweets through %s on %d threads, in each system's process of its own, by turns. Written by
`+"`make bench-embed`"+`. The same vectors come out of all, within 1e-5.

| | sentences/s | of the rounds | millrace beside it | ms of the processor's time each | peak MiB |
| --- | --- | --- | --- | --- | --- |
`, len(r.texts), modelName, r.threads)
	for _, m := range r.systems {
		fmt.Fprintf(&b, "| %s | %.0f | %.0f to %.0f | %s | %.2f | %.0f |\n", m.label, median(m.rate), slices.Min(m.rate), slices.Max(m.rate),
			span(ratios(own.rate, m.rate)), median(m.processor), m.peak)
	}
	fmt.Fprintf(&b, "| millrace, through a Kafka stage | %.0f | %.0f to %.0f | %s | %.2f | |\n", median(r.staged.rate), slices.Min(r.staged.rate), slices.Max(r.staged.rate),
		span(ratios(own.rate, r.staged.rate)), median(r.staged.processor))
	place := "the in-process broker, in a process of its own"
	if r.brokers != "" {
		place = "a real Kafka"
	}
	fmt.Fprintf(&b, `
"Millrace beside it" is how many times as fast millrace is by default, round by round: the median, the lowest and the
highest. The raw session, measured twice a round, is %s times as fast as itself. The stage reads from and
writes to %s, in batches of up to %d; it is %s times as fast as the model
alone. Its clients and records are in millrace's peak.

Of %d of the tweets, %d have the same %d nearest among all of them by millrace's vectors as by those of %s.

One text at a time:

| | median ms | 99 %% below |
| --- | --- | --- |
`, span(ratios(r.again.rate, r.systems[0].rate)), place, batchSize, span(ratios(r.staged.rate, own.rate)),
		r.found.queries, r.found.same, nearest, r.found.reference)
	for _, m := range r.systems {
		fmt.Fprintf(&b, "| %s | %.2f | %.2f |\n", m.label, m.single(0.5), m.single(0.99))
	}
	fmt.Fprintf(&b, `
Onnxruntime is its session in Python as people would use it who know how: one tokenizer call, texts sorted by tokens,
batches of 32, pooling by numpy; the others as they come, in batches of 32. Millrace has one thread a batch and as many
batches as there are threads by default, and all threads on one text with WithLatency (its median beside the raw
session's: %.2f times as long).

- %s; load average before the start %s
- %s
- %d rounds, each of all texts and then %d one by one; %s
`, latency.single(0.5)/r.systems[0].single(0.5), results.Machine(), r.load, r.versions(), r.rounds, min(r.singles, len(r.texts)), time.Now().UTC().Format(time.DateOnly))
	return b.String()
}

// versions are all systems', each once.
func (r *report) versions() string {
	var all []string
	for _, m := range r.systems {
		for _, v := range strings.Split(m.ready, ", ") {
			if !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
	}
	return strings.Join(all, ", ")
}
