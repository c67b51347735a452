package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

// bench has the systems take turns.
type bench struct {
	options
	ours       *millrace
	names      []string
	systems    []system
	log        io.Writer
	load       string
	difference float64
	// fit, one, all: a list of turns a system, in seconds.
	fit, one, all [][]float64
}

func (b *bench) add(name string, s system) {
	b.names = append(b.names, name)
	b.systems = append(b.systems, s)
	b.fit, b.one, b.all = append(b.fit, nil), append(b.one, nil), append(b.all, nil)
}

func (b *bench) run(ctx context.Context) error {
	for round := range b.rounds {
		for i, s := range b.systems {
			if b.names[i] == "gonum" && round >= b.gonum {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			fit, err := s.fit()
			if err != nil {
				return err
			}
			one, err := s.one(b.single)
			if err != nil {
				return err
			}
			all, err := s.all(ctx)
			if err != nil {
				return err
			}
			b.fit[i], b.one[i], b.all[i] = append(b.fit[i], fit), append(b.one[i], one), append(b.all[i], all)
			fmt.Fprintf(b.log, "round %d of %d: %-20s fit %7.3f s, one %7.1f us, all %6.0f ms\n", round+1, b.rounds, b.names[i], fit, 1e6*one, 1e3*all)
		}
	}
	return nil
}

// measured is one thing that all systems did.
type measured struct {
	name, metric string
	unit         float64 // of the metric in a second
	turns        [][]float64
}

func (b *bench) measured() []measured {
	size := fmt.Sprintf("%d to %d", b.dim, b.components)
	return []measured{
		{"fit " + size, "s/fit", 1, b.fit},
		{"transform one " + size, "us/vector", 1e6, b.one},
		{"transform all " + size, "ms", 1e3, b.all},
	}
}

func (b *bench) rows() (rows []results.Row) {
	for _, m := range b.measured() {
		for i, name := range b.names {
			rows = append(rows, results.Row{Case: m.name, System: name, Metric: m.metric, Value: m.unit * results.Quantile(m.turns[i], 0.5), Better: "lower"})
		}
	}
	return rows
}

func (b *bench) text() string {
	var t strings.Builder
	t.WriteString("# PCA\n\n")
	fmt.Fprintf(&t, "%d vectors of %d values to %d components, by turns with the peers on the same machine, each with all its\nthreads. Written by `make bench-pca`.\n", b.count, b.dim, b.components)
	for _, m := range b.measured() {
		fmt.Fprintf(&t, "\n## %s%s, %s\n\n| system | median | lowest to highest | turns |\n| --- | --- | --- | --- |\n", strings.ToUpper(m.name[:1]), m.name[1:], m.metric)
		for i, name := range b.names {
			at := func(q float64) float64 { return m.unit * results.Quantile(m.turns[i], q) }
			fmt.Fprintf(&t, "| %s | %.3g | %.3g to %.3g | %d |\n", name, at(0.5), at(0), at(1), len(m.turns[i]))
		}
	}
	fmt.Fprintf(&t, `
scikit-learn: svd_solver="covariance_eigh", its fastest for such vectors; it sums in float32, and in float64 if the
vectors are that, as in its second row. numpy: the covariance in float32 and eigh, by
hand. faiss: PCAMatrix, told to OpenBLAS that the processor is a Haswell. gonum: stat.PC and a product of matrices.
One: a call a vector, one thread. All: millrace's Transform on as many goroutines as cores.

millrace sums in float32 for 128 vectors, such sums in float64, and refuses what is not finite; the values of its
components differ by at most %.1e from those that scikit-learn finds in float64. Given the PCA as SaveNPZ writes it,
scikit-learn reduces vectors as millrace does, and so does millrace by scikit-learn's, loaded by LoadNPZ.

%s; load before: %s.
`, b.difference, results.Machine(), b.load)
	return t.String()
}
