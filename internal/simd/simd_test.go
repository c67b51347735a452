package simd_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace-go/millrace/internal/simd"
)

// kernels are those this machine can run.
func kernels() (ks []simd.Kernel) {
	for k := simd.Portable; k <= simd.Best(); k++ {
		ks = append(ks, k)
	}
	return ks
}

func TestBest(t *testing.T) {
	t.Logf("this machine runs %v", kernels())
}

// among puts n values of make between NaNs, which nobody may read into a sum.
func among(n int, value func() float32) []float32 {
	const margin = 40
	all := make([]float32, n+2*margin)
	for i := range all {
		all[i] = float32(math.NaN())
	}
	v := all[margin : margin+n]
	for i := range v {
		v[i] = value()
	}
	return v[:n:n]
}

// check holds all kernels, for both queries, against float64.
func check(t *testing.T, q0, q1, rows []float32, n int) (finite int) {
	t.Helper()
	dim := len(q0)
	const guard = float32(12345)
	for _, k := range kernels() {
		ds := [3][]float32{}
		for i := range ds {
			ds[i] = make([]float32, n+8)
			for j := range ds[i] {
				ds[i][j] = guard
			}
		}
		k.Dots(ds[0][:n], q0, rows)
		k.Dots2(ds[1][:n], ds[2][:n], q0, q1, rows)
		for i, q := range [3][]float32{q0, q0, q1} {
			for r := range n {
				finite += checkOne(t, fmt.Sprintf("%v, dim %d, row %d of %d, call %d", k, dim, r, n, i), ds[i][r], q, rows[r*dim:(r+1)*dim])
			}
			for _, g := range ds[i][n:] {
				if g != guard {
					t.Fatalf("%v, dim %d, %d rows: wrote beyond the destination", k, dim, n)
				}
			}
		}
	}
	return finite
}

// checkOne holds one result against float64, in which the products are exact.
// It tells whether the result was finite.
func checkOne(t *testing.T, name string, got float32, q, x []float32) int {
	t.Helper()
	var want, qq, xx float64
	for j, v := range x {
		want += float64(q[j]) * float64(v)
		qq += float64(q[j]) * float64(q[j])
		xx += float64(v) * float64(v)
	}
	size := math.Sqrt(qq) * math.Sqrt(xx)
	if math.IsNaN(float64(got)) || math.IsInf(float64(got), 0) {
		if size < math.MaxFloat32/2 {
			t.Fatalf("%s: %v, want %v", name, got, want)
		}
		return 0
	}
	relative, absolute := simd.Bound(len(x))
	relative += float64(len(x)+8) * 0x1p-52 // of the float64 sums here
	if d := math.Abs(float64(got) - want); d > relative*size+absolute {
		t.Fatalf("%s: %v, want %v: off by %g, the bound is %g", name, got, want, d, relative*size+absolute)
	}
	return 1
}

func TestEveryLength(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	normal := func() float32 { return float32(rng.NormFloat64()) }
	dims := make([]int, 0, 330)
	for d := range 301 {
		dims = append(dims, d)
	}
	for range 20 {
		dims = append(dims, 301+rng.IntN(9000))
	}
	for _, dim := range append(dims, 384, 768, 1024, 4096) {
		n := rng.IntN(14)
		if check(t, among(dim, normal), among(dim, normal), among(dim*n, normal), n) != 3*n*len(kernels()) {
			t.Fatalf("dim %d: overflow of normal values", dim)
		}
	}
}

// Sums of small whole numbers are exact in any order: a lane that is lost or
// counted twice shows.
func TestWholeNumbersAreExact(t *testing.T) {
	const n = 7
	for _, k := range kernels() {
		for dim := range 301 {
			q, rows, got := make([]float32, dim), make([]float32, n*dim), make([]float32, n)
			for i := range rows {
				q[i%dim] = float32(i%dim%17 + 1)
				rows[i] = float32(i%23 - 11)
			}
			k.Dots(got, q, rows)
			for r := range got {
				var want float32
				for j, v := range q {
					want += v * rows[r*dim+j]
				}
				if got[r] != want {
					t.Fatalf("%v, dim %d, row %d: %v, want %v", k, dim, r, got[r], want)
				}
			}
		}
	}
}

func TestHardValues(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	signed := func(v float32) float32 {
		if rng.IntN(2) == 0 {
			return -v
		}
		return v
	}
	for _, c := range []struct {
		name   string
		value  func() float32
		finite bool
	}{
		{"huge", func() float32 { return signed(1e38) }, false},
		{"huge, and of one sign", func() float32 { return 3e38 }, false},
		{"near the overflow", func() float32 { return signed(1e18 + 1e17*rng.Float32()) }, true},
		{"denormal", func() float32 { return signed(math.SmallestNonzeroFloat32 * float32(rng.IntN(1000))) }, true},
		{"products underflow", func() float32 { return signed(1e-20 * rng.Float32()) }, true},
		{"every size", func() float32 { return math.Float32frombits(rng.Uint32N(0x5f000000)) }, true},
		{"cancelling", func() float32 { return signed(1e6) + rng.Float32() }, true},
		{"equal", func() float32 { return 0.1 }, true},
		{"zero", func() float32 { return signed(0) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, dim := range []int{1, 3, 8, 15, 16, 17, 64, 100, 150, 384, 1000} {
				const n = 9
				finite := check(t, among(dim, c.value), among(dim, c.value), among(n*dim, c.value), n)
				if all := 3 * n * len(kernels()); c.finite && finite != all || !c.finite && finite == all {
					t.Fatalf("dim %d: %d of %d results are finite", dim, finite, all)
				}
			}
		})
	}
}

func TestBound(t *testing.T) {
	for _, n := range []int{1 << 23, 1 << 24, 1<<24 + 1, math.MaxInt32} {
		if r, _ := simd.Bound(n); !math.IsInf(r, 1) {
			t.Errorf("relative bound of %d values is %v, want +Inf", n, r)
		}
	}
	if r, _ := simd.Bound(1<<23 - 1); r < 0.49 || r > 1 {
		t.Errorf("relative bound of 2^23-1 values is %v", r)
	}
	if r, _ := simd.Bound(384); math.Abs(r-384*0x1p-24) > 1e-9 {
		t.Errorf("relative bound of 384 values is %v", r)
	}
}

func FuzzDots(f *testing.F) {
	f.Add(uint16(3), []byte("twelve bytes and some more for a few rows of three values"))
	f.Add(uint16(1), []byte{0, 0, 0x80, 0x7f, 0, 0, 0x80, 0xff, 1, 0, 0, 0, 2, 0, 0, 0x80})
	f.Add(uint16(17), make([]byte, 17*4*12))
	f.Fuzz(func(t *testing.T, d uint16, b []byte) {
		var values []float32
		for ; len(b) >= 4; b = b[4:] {
			v := math.Float32frombits(binary.LittleEndian.Uint32(b))
			if v != v || math.IsInf(float64(v), 0) {
				v = 1 // no index holds such
			}
			values = append(values, v)
		}
		dim := int(d)%512 + 1
		if n := len(values)/dim - 2; n > 0 {
			check(t, values[:dim], values[dim:2*dim], values[2*dim:], n)
		}
	})
}

func BenchmarkDots(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 0))
	normal := func() float32 { return float32(rng.NormFloat64()) }
	for _, dim := range []int{10, 150, 384, 768} {
		const n = 16
		q0, q1, rows := among(dim, normal), among(dim, normal), among(dim*n, normal)
		d0, d1 := make([]float32, n), make([]float32, n)
		for _, k := range kernels() {
			b.Run(fmt.Sprintf("%v/%d/1", k, dim), func(b *testing.B) {
				for b.Loop() {
					k.Dots(d0, q0, rows)
				}
				b.ReportMetric(float64(2*n*dim*b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
			b.Run(fmt.Sprintf("%v/%d/2", k, dim), func(b *testing.B) {
				for b.Loop() {
					k.Dots2(d0, d1, q0, q1, rows)
				}
				b.ReportMetric(float64(4*n*dim*b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
	}
}
