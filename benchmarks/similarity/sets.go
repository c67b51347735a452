package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// generate makes n vectors of length 1 around 300 centres. Each direction is
// weaker than the one before.
func generate(seed uint64, n, dim int) []similarity.Item {
	rng := rand.New(rand.NewPCG(1, 0)) // the centres are always the same
	strength := make([]float32, dim)
	for d := range strength {
		strength[d] = float32(math.Pow(float64(d+1), -0.6))
	}
	centres := make([]float32, 300*dim)
	for i := range centres {
		centres[i] = float32(rng.NormFloat64()) * strength[i%dim]
	}
	rng = rand.New(rand.NewPCG(seed, 1))
	items := make([]similarity.Item, n)
	values := make([]float32, n*dim)
	for i := range items {
		v := values[i*dim : (i+1)*dim : (i+1)*dim]
		centre := centres[rng.IntN(300)*dim:]
		square := 0.0
		for d := range v {
			v[d] = centre[d] + 0.7*float32(rng.NormFloat64())*strength[d]
			square += float64(v[d]) * float64(v[d])
		}
		for d := range v {
			v[d] /= float32(math.Sqrt(square))
		}
		items[i] = similarity.Item{ID: fmt.Sprintf("%08d", i), Vector: vector.Vector{Space: "benchmark", Values: v}}
	}
	return items
}

// save writes the values for the peers.
func save(path string, items []similarity.Item) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var b []byte
	for _, it := range items {
		b = b[:0]
		for _, v := range it.Vector.Values {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		if _, err := w.Write(b); err != nil {
			_ = f.Close()
			return err
		}
	}
	if err := w.Flush(); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
