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
		stride, bStride := simd.Tile+rng.IntN(20), simd.Tile+rng.IntN(20)
		a, b := wild(rng, rows*simd.Tile), wild(rng, max(rows-1, 0)*bStride+simd.Tile)
		before := wild(rng, (simd.Tile-1)*stride+simd.Tile)
		want := slices.Clone(before)
		for i := range simd.Tile {
			for j := range simd.Tile {
				for r := range rows {
					want[i*stride+j] = math.FMA(a[r*simd.Tile+i], b[r*bStride+j], want[i*stride+j])
				}
			}
		}
		for _, k := range kernels() {
			c, fence := fenced(before)
			a, _ := fenced(a)
			b, _ := fenced(b)
			k.Outer(c, stride, a, b, bStride)
			if !slices.Equal(c, want) {
				t.Fatalf("%v, %d rows: other sums than one after the other", k, rows)
			}
			intact(t, fence)
		}
	}
}

func TestAddScaled(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range 70 {
		x, y := wild(rng, n), wild(rng, n)
		s := rng.NormFloat64()
		want := slices.Clone(y)
		for i := range n {
			want[i] = math.FMA(s, x[i], y[i])
		}
		for _, k := range kernels() {
			x, _ := fenced(x)
			y, fence := fenced(y)
			k.AddScaled(y, s, x)
			if !slices.Equal(y, want) {
				t.Fatalf("%v, %d values: other bits than one by one", k, n)
			}
			intact(t, fence)
		}
	}
}

func TestPair(t *testing.T) {
	const rows = simd.PairRows
	rng := rand.New(rand.NewPCG(7, 8))
	for n := 0; n < 70; n += 4 {
		stride := n + rng.IntN(9)
		x, y, s, a, before := wild(rng, n), wild(rng, n), wild(rng, rows), wild(rng, (rows-1)*stride+n), [rows]float64(wild(rng, rows))
		wantY, want := slices.Clone(y), before
		for r := range rows {
			var lanes [4]float64
			for j, v := range x {
				lanes[j%4] = math.FMA(a[r*stride+j], v, lanes[j%4])
				wantY[j] = math.FMA(a[r*stride+j], s[r], wantY[j])
			}
			want[r] += (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
		}
		for _, k := range kernels() {
			sums := before
			y, fence := fenced(y)
			x, _ := fenced(x)
			a, _ := fenced(a)
			k.Pair(&sums, y, a, stride, s, x)
			if sums != want || !slices.Equal(y, wantY) {
				t.Fatalf("%v, %d values: other bits than one by one", k, n)
			}
			intact(t, fence)
		}
	}
}

func TestAddRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for n := range 150 {
		for _, count := range []int{0, 1, 2, 17} {
			stride := n + rng.IntN(9)
			y, s, rows := wild(rng, n), wild(rng, count), wild(rng, max(count-1, 0)*stride+n)
			want := slices.Clone(y)
			for j := range s {
				for i := range want {
					want[i] = math.FMA(s[j], rows[j*stride+i], want[i])
				}
			}
			for _, k := range kernels() {
				y, fence := fenced(y)
				s, _ := fenced(s)
				rows, _ := fenced(rows)
				k.AddRows(y, s, rows, stride)
				if !slices.Equal(y, want) {
					t.Fatalf("%v, %d rows of %d values: other bits", k, count, n)
				}
				intact(t, fence)
			}
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
					k.Outer(c[p*simd.Tile:], panels*simd.Tile, block[:rows*simd.Tile], block[p*rows*simd.Tile:(p+1)*rows*simd.Tile], simd.Tile)
				}
			}
			b.ReportMetric(float64(2*panels*rows*simd.Tile*simd.Tile*b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		})
	}
}
