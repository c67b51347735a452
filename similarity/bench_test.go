package similarity_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

func reseal(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// clustered makes unit vectors around centres, as embeddings are.
func clustered(rng *rand.Rand, n, dim int) []similarity.Item {
	centres := random(rng, 300, dim)
	items := random(rng, n, dim)
	for i := range items {
		v, c := items[i].Vector.Values, centres[rng.IntN(len(centres))].Vector.Values
		var square float64
		for j := range v {
			v[j] = 0.8*v[j] + c[j]
			square += float64(v[j]) * float64(v[j])
		}
		for j := range v {
			v[j] /= float32(math.Sqrt(square))
		}
	}
	return items
}

func BenchmarkNearest(b *testing.B) {
	const rows = 32_600
	for _, dim := range []int{384, 150} {
		items := clustered(rand.New(rand.NewPCG(1, 0)), rows+64, dim)
		for _, metric := range []similarity.Metric{similarity.Euclidean, similarity.Cosine} {
			x := build(b, metric, items[:rows])
			for _, batch := range []int{1, 64} {
				queries := make([]vector.Vector, batch)
				for i := range queries {
					queries[i] = items[rows+i].Vector
				}
				b.Run(fmt.Sprintf("%v/%d/batch=%d", metric, dim, batch), func(b *testing.B) {
					for b.Loop() {
						if _, err := x.Nearest(b.Context(), queries, 5); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N*batch), "ms/query")
				})
			}
		}
	}
}

func BenchmarkBuildAndSave(b *testing.B) {
	items := random(rand.New(rand.NewPCG(1, 0)), 32_600, 384)
	var saved bytes.Buffer
	b.Run("add and save", func(b *testing.B) {
		for b.Loop() {
			if err := build(b, similarity.Euclidean, items).Save(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := build(b, similarity.Euclidean, items).Save(&saved); err != nil {
		b.Fatal(err)
	}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := similarity.Load(bytes.NewReader(saved.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}
