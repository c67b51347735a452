package main

import (
	"debug/buildinfo"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

// report is what becomes of the measurements.
type report struct {
	options  options
	tweets   int
	load     string // before the start
	measured []measured
}

// figure is a line of the report: a name for people, the system it is of, and
// the cases whose rows have it.
type figure struct {
	label, system string
	spread        results.Spread
	cases         []string
}

func (r *report) figures(m *measured) []figure {
	app := func(f func(times) float64) results.Spread {
		var rounds [][]float64
		for _, turn := range m.app {
			var values []float64
			for _, t := range turn {
				values = append(values, f(t))
			}
			rounds = append(rounds, values)
		}
		return results.Summarize(rounds)
	}
	of := fmt.Sprintf(" %d tweets %s", r.tweets, m.name)
	atOnce, afterWork := "three hops "+m.name, "three hops after work "+m.name
	return []figure{
		{"question to answer", "millrace", app(func(t times) float64 { return t.Total }),
			[]string{"question to answer" + of}},
		{"in the model", "millrace", app(func(t times) float64 { return t.Embed }),
			[]string{"in the model" + of}},
		{"above the model", "millrace", app(func(t times) float64 { return t.Total - t.Embed }),
			[]string{"question to answer above the model" + of}},
		{"in the index", "millrace", app(func(t times) float64 { return t.Nearest }),
			[]string{"in the index" + of}},
		{"the rest: Kafka and the stages", "millrace", app(func(t times) float64 { return t.Total - t.Embed - t.Nearest }),
			[]string{afterWork, atOnce}},
		{"three hops by hand, busy as long in between", "sarama", results.Summarize(m.busy),
			[]string{afterWork}},
		{"three hops by hand, one right after the other", "sarama", results.Summarize(m.hops),
			[]string{atOnce}},
	}
}

func (r *report) rows() (rows []results.Row) {
	for i := range r.measured {
		for _, f := range r.figures(&r.measured[i]) {
			for _, name := range f.cases {
				rows = append(rows, results.Row{
					Case: name, System: f.system, Metric: "ms/question",
					Value: math.Round(f.spread.Median*1000) / 1000, Better: "lower",
				})
			}
		}
	}
	return rows
}

// text is the report for people.
func (r *report) text() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `# From the question to the answer

Milliseconds a question, one question at a time, over %d tweets; by turns with three hops through the broker
that are written by hand with sarama. Written by `+"`make bench-app`"+`.
`, r.tweets)
	for i := range r.measured {
		m := &r.measured[i]
		fmt.Fprintf(&b, "\n## %s%s\n\n%s\n\n", strings.ToUpper(m.name[:1]), m.name[1:], m.explain())
		fmt.Fprintln(&b, "| | system | median | 10 % to 90 % | medians of the rounds |")
		fmt.Fprintln(&b, "| --- | --- | --- | --- | --- |")
		for _, f := range r.figures(m) {
			s := f.spread
			fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f to %.2f | %.2f to %.2f |\n", f.label, f.system, s.Median, s.P10, s.P90, s.Low, s.High)
		}
	}
	made, err := r.made()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, `
"Above the model" is the total less the time in the model, "the rest" that less the time in the index, question by
question; the medians do not add up exactly. Hops one right after the other never let a processor or a connection rest;
the app's do, while the model and the index work. The time in which the hops by hand are busy is not counted.

- %s; load average before the start %s
- %s
- %d rounds of %d questions each, after %d to warm up; %s
`, results.Machine(), r.load, made, r.options.rounds, r.options.questions, r.options.warmUp, time.Now().UTC().Format(time.DateOnly))
	return b.String(), nil
}

func (m *measured) explain() string {
	size := fmt.Sprintf("Values of a question's text, %d and %d bytes; topics of %d, %d and 1 partitions.", vectorBytes, m.answerBytes, shares, shares)
	if m.apart {
		return "The app as three processes: prompt, embed, nearest. The hops as one process.\n" + size
	}
	return "The app as one process with a broker in it, as `make demo` runs it. The hops as one process with such a broker in it.\n" + size
}

// made tells the versions, as the app's binary has them.
func (r *report) made() (string, error) {
	info, err := buildinfo.ReadFile(r.options.tweets)
	if err != nil {
		return "", fmt.Errorf("the app's versions: %w", err)
	}
	made := []string{info.GoVersion}
	for _, d := range info.Deps {
		switch d.Path {
		case "github.com/IBM/sarama", "github.com/twmb/franz-go/pkg/kfake", "github.com/yalue/onnxruntime_go":
			made = append(made, d.Path[strings.LastIndex(d.Path, "/")+1:]+" "+d.Version)
		}
	}
	commit, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = "commit " + s.Value[:min(7, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	if commit != "" {
		made = append(made, commit+changed)
	}
	return strings.Join(made, ", "), nil
}
