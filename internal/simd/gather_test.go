package simd_test

import (
	"slices"
	"testing"

	"github.com/millrace-go/millrace/internal/simd"
)

func TestGather(t *testing.T) {
	for n := range 200 {
		size := max(n-1, 0)*simd.Panel + 1
		panel, want := make([]float32, size), make([]float32, n)
		for i := range want {
			want[i] = float32(i + 1)
			panel[i*simd.Panel] = want[i]
		}
		for _, next := range [][]float32{nil, panel, make([]float32, size+5)} {
			dst := make([]float32, n+1)
			simd.Gather(dst[:n], panel, next)
			if !slices.Equal(dst[:n], want) || dst[n] != 0 {
				t.Fatalf("%d values: %v", n, dst)
			}
		}
	}
}
