package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"
)

// measured is what a system has shown, by rounds.
type measured struct {
	*system
	rate      []float64 // texts/s
	processor []float64 // ms of its time a text
	ms        [][]float64
	peak      float64 // MiB
}

// bench has the systems take turns.
type bench struct {
	options
	systems []*measured
	again   measured // the first system once more: what the machine makes of equals
	staged  measured // millrace through a whole stage
	found   retrieval
	log     io.Writer
}

// measure runs the rounds. Who goes first changes from round to round.
func (b *bench) measure(ctx context.Context) error {
	if err := b.compare(ctx); err != nil {
		return err
	}
	b.again.system = b.systems[0].system
	turns := []func() error{func() error { return b.throughput(ctx, &b.again, "throughput", " again") }}
	for _, m := range b.systems {
		turns = append(turns, func() error { return b.throughput(ctx, m, "throughput", "") })
		if m.stage {
			b.staged.system = m.system
			turns = append(turns, func() error { return b.throughput(ctx, &b.staged, "stage", " in a stage") })
		}
	}
	for round := range b.rounds {
		_, _ = fmt.Fprintf(b.log, "round %d of %d\n", round+1, b.rounds)
		for i := range turns {
			if err := turns[(i+round)%len(turns)](); err != nil {
				return err
			}
		}
		for i := range b.systems {
			if err := b.single(ctx, b.systems[(i+round)%len(b.systems)]); err != nil {
				return err
			}
		}
	}
	for _, m := range b.systems {
		var err error
		if m.peak, err = m.system.peak(); err != nil {
			return err
		}
	}
	return b.searches(ctx) // last, since to tell all vectors takes memory
}

// rest lets the threads of whoever came before stop waiting for work.
func rest() { time.Sleep(300 * time.Millisecond) }

func (b *bench) throughput(ctx context.Context, m *measured, command, suffix string) error {
	rest()
	a, err := m.do(ctx, command)
	if err != nil {
		return err
	}
	n := float64(len(b.texts))
	m.rate = append(m.rate, n/a.Seconds)
	m.processor = append(m.processor, a.Processor/n*1000)
	_, _ = fmt.Fprintf(b.log, "  %-38s %6.1f sentences/s, %5.2f ms of processor time each\n", m.label+suffix, n/a.Seconds, a.Processor/n*1000)
	return nil
}

func (b *bench) single(ctx context.Context, m *measured) error {
	rest()
	a, err := m.do(ctx, fmt.Sprintf("latency %d", b.singles))
	m.ms = append(m.ms, a.MS)
	return err
}

// compare holds that all do the same: their vectors are equal.
func (b *bench) compare(ctx context.Context) error {
	var want [][]float32
	for _, m := range b.systems {
		a, err := m.do(ctx, "vectors 64")
		if err != nil {
			return err
		}
		if want == nil {
			want = a.Vectors
		}
		if d := distance(want, a.Vectors); !(d < 1e-5) {
			return fmt.Errorf("the vectors of %s differ from those of %s by up to %g", m.label, b.systems[0].label, d)
		}
	}
	return nil
}

// distance is the largest difference of two numbers; infinite where there are
// not equally many.
func distance(a, b [][]float32) (d float64) {
	if len(a) != len(b) || len(a) == 0 {
		return math.Inf(1)
	}
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return math.Inf(1)
		}
		for j := range a[i] {
			d = max(d, math.Abs(float64(a[i][j]-b[i][j])))
		}
	}
	return d
}
