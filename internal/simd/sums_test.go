package simd_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace-go/millrace/internal/simd"
)

// wild gives numbers of many sizes, so that every rounding shows.
func wild(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = rng.NormFloat64() * math.Exp2(float64(rng.IntN(40)-20))
	}
	return v
}

// fenced is a copy of v with NaNs behind it, which nobody may read or write.
func fenced(v []float64) (values, fence []float64) {
	all := append(slices.Clone(v), slices.Repeat([]float64{math.NaN()}, 2*simd.Tile)...)
	return all[:len(v)], all[len(v):]
}

func intact(t *testing.T, fences ...[]float64) {
	t.Helper()
	for _, fence := range fences {
		for i, x := range fence {
			if x == x {
				t.Fatalf("wrote %v, %d values beyond the end", x, i)
			}
		}
	}
}

func TestOuter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for rows := range 40 {
		stride := simd.Tile + rng.IntN(20)
		a, b := wild(rng, rows*simd.Tile), wild(rng, rows*simd.Tile)
		before := wild(rng, (simd.Tile-1)*stride+simd.Tile)
		want := slices.Clone(before)
		for i := range simd.Tile {
			for j := range simd.Tile {
				for r := range rows {
					want[i*stride+j] = math.FMA(a[r*simd.Tile+i], b[r*simd.Tile+j], want[i*stride+j])
				}
			}
		}
		for _, k := range kernels() {
			c, fence := fenced(before)
			a, _ := fenced(a)
			b, _ := fenced(b)
			k.Outer(c, stride, a, b)
			if !slices.Equal(c, want) {
				t.Fatalf("%v, %d rows: other sums than one after the other", k, rows)
			}
			intact(t, fence)
		}
	}
}

func TestAddScaledAndUpdate(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range 70 {
		x, y, v, w := wild(rng, n), wild(rng, n), wild(rng, n), wild(rng, n)
		a, b, s := rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()
		wantAdded, wantX, wantY := slices.Clone(y), slices.Clone(x), slices.Clone(y)
		for i := range n {
			wantAdded[i] = math.FMA(s, x[i], y[i])
			wantX[i] = math.FMA(b, w[i], math.FMA(a, v[i], x[i]))
			wantY[i] = math.FMA(s, wantX[i], y[i])
		}
		for _, k := range kernels() {
			x, fenceX := fenced(x)
			y, fenceY := fenced(y)
			v, _ := fenced(v)
			w, _ := fenced(w)
			added := slices.Clone(y)
			k.AddScaled(added, s, x)
			if !slices.Equal(added, wantAdded) {
				t.Fatalf("%v, %d values: AddScaled gives other bits", k, n)
			}
			k.Update(x, a, v, b, w, s, y)
			if !slices.Equal(x, wantX) || !slices.Equal(y, wantY) {
				t.Fatalf("%v, %d values: Update gives other bits", k, n)
			}
			intact(t, fenceX, fenceY)
		}
	}
}

func BenchmarkOuter(b *testing.B) {
	const rows, panels = 128, 96
	rng := rand.New(rand.NewPCG(1, 0))
	block, c := wild(rng, panels*rows*simd.Tile), make([]float64, simd.Tile*panels*simd.Tile)
	for _, k := range kernels() {
		b.Run(k.String(), func(b *testing.B) {
			for b.Loop() {
				for p := range panels {
					k.Outer(c[p*simd.Tile:], panels*simd.Tile, block[:rows*simd.Tile], block[p*rows*simd.Tile:(p+1)*rows*simd.Tile])
				}
			}
			b.ReportMetric(float64(2*panels*rows*simd.Tile*simd.Tile*b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		})
	}
}
