package simd_test

import (
	"math"
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

// groupSizes are how many queries a kernel takes at a time; 1 is one that is not
// packed.
func groupSizes(k simd.Kernel) []int {
	sizes := []int{1, simd.Group}
	if large := k.GroupOf(simd.LargeGroup); large != simd.Group {
		sizes = append(sizes, large)
	}
	return sizes
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
