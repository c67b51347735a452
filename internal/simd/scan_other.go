//go:build (!amd64 && !arm64) || purego

package simd

// Best is the fastest kernel here: there is only the one in Go.
func Best() Kernel { return Portable }

func (k Kernel) scan1(dots []float32, in []uint64, q []float32, cut Cut, rows, sizes []float32, blocks int) {
	panic("simd: only the portable kernel is here")
}

func (k Kernel) scanGroup(dots []float32, in []uint64, group []float32, size int, cuts *Cuts, rows, sizes []float32, blocks int, ahead []float32) {
	panic("simd: only the portable kernel is here")
}
