package embed

import (
	"fmt"
	"math"
	"testing"
)

func BenchmarkTransform(b *testing.B) {
	for _, threads := range []int{1, math.MaxInt} {
		m, err := Open(Installed(miniLM), WithThreads(threads))
		if err != nil {
			b.Fatalf("%v\nRun `make setup`.", err)
		}
		defer m.Close()
		name := fmt.Sprintf("threads=%d/", m.settings.threads)
		b.Run(name+"single", func(b *testing.B) {
			benchmarkTransform(b, m, []string{"We will build a wall"})
		})
		b.Run(name+"batch", func(b *testing.B) { benchmarkTransform(b, m, variedTexts(256)) })
	}
}

func benchmarkTransform(b *testing.B, m *Model, texts []string) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Transform(b.Context(), texts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(texts))/b.Elapsed().Seconds(), "texts/s")
}

func BenchmarkTokenize(b *testing.B) {
	m := openMiniLM(b)
	texts := variedTexts(256)
	bytes := 0
	for _, t := range texts {
		bytes += len(t)
	}
	b.SetBytes(int64(bytes))
	for b.Loop() {
		j := job{model: m}
		j.take(texts, nil)
		if err := j.tokenize(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
