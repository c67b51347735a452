package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
	"github.com/millrace-go/millrace/internal/kafkaserver"
)

// report is all that was measured.
type report struct {
	options
	load     string
	compared []comparison
	timings  []timing
}

// comparison is the rounds of one delivery, in each the contenders' runs.
type comparison struct {
	delivery string
	rounds   [][]run
}

// timing is how long one shape took, by 16 and by 100 workers.
type timing struct {
	shape
	seconds []float64
}

// of gathers a figure of a contender over all rounds.
func (c *comparison) of(who int, figure func(r run) float64) []float64 {
	var all []float64
	for _, runs := range c.rounds {
		all = append(all, figure(runs[who]))
	}
	return all
}

// ratios are a contender's throughput beside the mean of the two loops around
// it, round by round.
func (c *comparison) ratios(who int) []float64 {
	var all []float64
	for _, runs := range c.rounds {
		all = append(all, runs[who].rate/((runs[0].rate+runs[len(runs)-1].rate)/2))
	}
	return all
}

// spread are the two loops' throughputs beside each other.
func (c *comparison) spread() []float64 {
	var all []float64
	for _, runs := range c.rounds {
		all = append(all, runs[len(runs)-1].rate/runs[0].rate)
	}
	return all
}

func rate(r run) float64 { return r.rate }

func (r *report) each(figure func(c cost) float64) func(run) float64 {
	return func(one run) float64 { return figure(one.cost) / float64(r.records) }
}

func (r *report) rows() (rows []results.Row) {
	for _, c := range r.compared {
		add := func(name, system, metric, better string, value float64) {
			rows = append(rows, results.Row{
				Case:   fmt.Sprintf("pass-through %s %d partitions %d B%s", c.delivery, partitions, valueBytes, name),
				System: system, Metric: metric, Value: value, Better: better,
			})
		}
		for i, who := range contenders() {
			if i == len(contenders())-1 {
				break // the loop again
			}
			name := ""
			if who.name == "stage, ByKey" {
				name = " by key"
				add(name, "sarama", "records/s", "higher", results.Quantile(c.of(0, rate), 0.5))
			}
			add(name, who.system, "records/s", "higher", results.Quantile(c.of(i, rate), 0.5))
		}
	}
	for _, t := range r.timings {
		name := fmt.Sprintf("10,000 records of 0 to 5 ms, 1 partition, %v, %d keys, 16 workers", t.order, t.keys)
		rows = append(rows, results.Row{Case: name, System: "millrace", Metric: "s", Value: t.seconds[0], Better: "lower"})
		if t.published > 0 {
			rows = append(rows, results.Row{Case: name, System: "parallel-consumer", Metric: "s", Value: t.published, Better: "lower"})
		}
	}
	return rows
}

func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What a stage costs\n\nWritten by `make bench-stream`, %s: %s; Kafka %s; load before: %s.\n\n",
		time.Now().UTC().Format(time.DateOnly), results.Machine(), kafkaserver.Version, r.load)
	fmt.Fprintf(&b, `%d records of %d bytes and %d keys, in %d partitions of one broker on the same machine, are read, changed to upper
case, written to another topic, and committed. The loop is written by hand with sarama (`+"`benchmarks/stream/loop.go`"+`): an
asynchronous producer and offsets marked up to the oldest record that is not acknowledged; exactly once, a transactional
producer a partition and transactions of %d records; the stage has one producer, and by default transactions of at most
4,096 records. Both have the same sarama configuration, with channels of 4,096.
The stage has one worker, batches of 256, and a codec that copies nothing. Rates are by the times at which the broker appended the
results, from the first to the last; medians of %d rounds of loop, stage, stage, loop, each in a process of its own.
A ratio is to the mean of the two loops around it; how far these are from each other is the A/A spread.
Keys in order side by side (ByKey) is more than the loop does; ByPartition is the same.

`, r.records, valueBytes, keys, partitions, transactionRecords, r.rounds)
	for _, c := range r.compared {
		fmt.Fprintf(&b, "## %s\n\n| | records/s | ratio (lowest to highest) | processor us a record | allocations a record | bytes a record | peak MiB |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n", c.delivery)
		for i, who := range contenders() {
			median := func(figure func(run) float64) float64 { return results.Quantile(c.of(i, figure), 0.5) }
			ratio, all := "", c.ratios(i)
			if who.system == "millrace" {
				ratio = between(all)
			} else if i > 0 {
				ratio = "A/A " + between(c.spread())
			}
			fmt.Fprintf(&b, "| %s | %.0f | %s | %.2f | %.1f | %.0f | %.0f |\n", who.name, median(rate), ratio,
				median(r.each(func(c cost) float64 { return c.CPU * 1e6 })), median(r.each(func(c cost) float64 { return float64(c.Mallocs) })),
				median(r.each(func(c cost) float64 { return float64(c.Bytes) })), median(func(one run) float64 { return float64(one.Peak) }))
		}
		b.WriteString("\n")
	}
	b.WriteString(`## Concurrency inside a partition

10,000 records of 0 to 4 whole ms each in one partition, from the first record to the last commit; the medians of 3 runs. Beside
it what Confluent's Parallel Consumer publishes in its README, on a machine of its own.

| order | keys | millrace, 16 workers | millrace, 100 workers | Parallel Consumer, published |
| --- | ---: | ---: | ---: | ---: |
`)
	for _, t := range r.timings {
		published := ""
		if t.published > 0 {
			published = fmt.Sprintf("%.1f s", t.published)
		}
		fmt.Fprintf(&b, "| %v | %d | %.2f s | %.2f s | %s |\n", t.order, t.keys, t.seconds[0], t.seconds[1], published)
	}
	return b.String()
}

func between(ratios []float64) string {
	return fmt.Sprintf("%.3f (%.2f to %.2f)", results.Quantile(ratios, 0.5), results.Quantile(ratios, 0), results.Quantile(ratios, 1))
}
