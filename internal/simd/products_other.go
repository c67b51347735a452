//go:build !amd64 || purego

package simd

import "runtime"

// The kernels are in Go here.

func (k Kernel) product(c *[Square]float64, a, b []float32, unit float64) {
	portableProduct(c, a, b, unit)
}

func (k Kernel) center(to []float32, step int, x, shift []float32, sums []float64, largest, _ []float32) {
	portableCenter(to, step, x, shift, sums, largest)
}

// fma32 leaves it to arm64's compiler, which fuses what the language lets it.
func fma32(v, w, s float32) float32 {
	if runtime.GOARCH == "arm64" {
		return v*w + s
	}
	return roundedOnce(v, w, s)
}
