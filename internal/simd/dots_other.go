//go:build !amd64 || purego

package simd

// Best is the fastest kernel here: there is only the one in Go.
func Best() Kernel { return Portable }

func (k Kernel) dots(dst, q, rows []float32) { portable(dst, q, rows) }

func (k Kernel) dots2(dst0, dst1, q0, q1, rows []float32) {
	portable(dst0, q0, rows)
	portable(dst1, q1, rows)
}
