package simd_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace-go/millrace/internal/simd"
)

// wild32 gives numbers of many sizes, so that every rounding shows.
func wild32(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(24)-12)))
	}
	return v
}

// fused is v w + s rounded once.
func fused(v, w, s float32) float32 {
	exact := new(big.Float).SetPrec(2000).SetFloat64(float64(v))
	exact.Mul(exact, big.NewFloat(float64(w)))
	exact.Add(exact, big.NewFloat(float64(s)))
	f, _ := exact.Float32()
	return f
}

func TestProducts(t *testing.T) {
	const columns, run = simd.Columns, 128
	rng := rand.New(rand.NewPCG(1, 2))
	for _, rows := range []int{0, 1, 2, 3, 4, 5, 127, 128, 129, 263} {
		for panels := range 4 {
			a, b := wild32(rng, rows*columns), wild32(rng, panels*rows*columns)
			before := wild(rng, panels*simd.Square)
			want := slices.Clone(before)
			for i := range columns {
				for j := range panels * columns {
					for first := 0; first < rows; first += run {
						var sum float32
						for r := first; r < min(first+run, rows); r++ {
							sum = fused(a[r*columns+i], b[(j/columns*rows+r)*columns+j%columns], sum)
						}
						want[j/columns*simd.Square+i*columns+j%columns] += 0.25 * float64(sum)
					}
				}
			}
			for _, k := range kernels() {
				c, fence := fenced(before)
				k.Products(c, a, b, 0.25)
				if !slices.Equal(c, want) {
					t.Fatalf("%v, %d panels of %d rows: other sums than one after the other, fused", k, panels, rows)
				}
				intact(t, fence)
			}
		}
	}
}

// What fused sums do at their limits, all kernels do.
func TestProductsAtTheLimits(t *testing.T) {
	extremes := []float32{0, 1, -1, 1 + 0x1p-23, 1 - 0x1p-24, 0x1p-126, 0x1p-149, 0x1p-75, math.MaxFloat32, 0x1p127, 0x1p64, -0x1p63, 3, 1.0 / 3}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		a, b := make([]float32, 3*simd.Columns), make([]float32, 3*simd.Columns)
		for i := range a {
			a[i], b[i] = extremes[rng.IntN(len(extremes))], extremes[rng.IntN(len(extremes))]
		}
		var want []float64
		for _, k := range kernels() {
			c := make([]float64, simd.Square)
			k.Products(c, a, b, 1)
			if want == nil {
				want = c
			}
			for i := range c {
				if math.Float64bits(c[i]) != math.Float64bits(want[i]) && !(math.IsNaN(c[i]) && math.IsNaN(want[i])) {
					t.Fatalf("%v: %v, another kernel %v", k, c[i], want[i])
				}
			}
		}
	}
}

func TestCenter(t *testing.T) {
	const columns = simd.Columns
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 100 {
		panels := i % 6
		n, step := panels*columns, (1+rng.IntN(3))*columns
		x, shift, largest := wild32(rng, n), wild32(rng, n), wild32(rng, n)
		sums, before := wild(rng, n), wild32(rng, max(0, panels-1)*step+columns)
		want, wantSums, wantLargest := slices.Clone(before), slices.Clone(sums), slices.Clone(largest)
		for i, v := range x {
			d := v - shift[i]
			want[i/columns*step+i%columns] = d
			wantSums[i] += float64(v) - float64(shift[i])
			wantLargest[i] = max(largest[i], float32(math.Abs(float64(d))))
		}
		for _, k := range kernels() {
			to, gotSums, gotLargest := slices.Clone(before), slices.Clone(sums), slices.Clone(largest)
			k.Center(to, step, x, shift, gotSums, gotLargest, x)
			if !slices.Equal(to, want) || !slices.Equal(gotSums, wantSums) || !slices.Equal(gotLargest, wantLargest) {
				t.Fatalf("%v, %d panels, gives %v, %v, %v, want %v, %v, %v", k, panels, to, gotSums, gotLargest, want, wantSums, wantLargest)
			}
		}
	}
}

func BenchmarkProducts(b *testing.B) {
	const rows, panels = 256, 48
	rng := rand.New(rand.NewPCG(1, 0))
	block, c := wild32(rng, panels*rows*simd.Columns), make([]float64, panels*simd.Square)
	for _, k := range kernels() {
		b.Run(fmt.Sprint(k), func(b *testing.B) {
			for b.Loop() {
				k.Products(c, block[:rows*simd.Columns], block, 1)
			}
			b.ReportMetric(float64(2*panels*rows*simd.Columns*simd.Columns*b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		})
	}
}
