package main

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// generator makes vectors of length 1 around 300 centres. Each direction is
// weaker than the one before. What it makes depends on the dimension, the seed
// and the row alone.
type generator struct {
	dim      int
	strength []float32
	centres  []float32
}

const centres = 300

func newGenerator(dim int) *generator {
	g := &generator{dim: dim, strength: make([]float32, dim), centres: make([]float32, centres*dim)}
	for d := range g.strength {
		g.strength[d] = float32(math.Pow(float64(d+1), -0.6))
	}
	rng := rand.New(rand.NewPCG(1, 0))
	for i := range g.centres {
		g.centres[i] = float32(rng.NormFloat64()) * g.strength[i%dim]
	}
	return g
}

// items makes rows first to first+n-1, on all processors.
func (g *generator) items(seed uint64, first, n int) []similarity.Item {
	items := make([]similarity.Item, n)
	values := make([]float32, n*g.dim)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w * n / workers; i < (w+1)*n/workers; i++ {
				v := values[i*g.dim : (i+1)*g.dim : (i+1)*g.dim]
				g.fill(v, rand.New(rand.NewPCG(seed, uint64(first+i))))
				items[i] = similarity.Item{ID: id(first + i), Vector: vector.Vector{Space: "benchmark", Values: v}}
			}
		})
	}
	wg.Wait()
	return items
}

func (g *generator) fill(v []float32, rng *rand.Rand) {
	centre := g.centres[rng.IntN(centres)*g.dim:]
	square := 0.0
	for d := range v {
		v[d] = centre[d] + 0.7*float32(rng.NormFloat64())*g.strength[d]
		square += float64(v[d]) * float64(v[d])
	}
	for d := range v {
		v[d] /= float32(math.Sqrt(square))
	}
}
