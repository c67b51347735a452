//go:build !amd64 || purego

package simd

import "runtime"

// The kernels are in Go here.

func (k Kernel) product(c *[Square]float64, a, b []float32, unit float64) {
	portableProduct(c, a, b, unit)
}

func (k Kernel) center(to, x, shift *[Columns]float32, sums *[Columns]float64, largest *[Columns]float32) {
	portableCenter(to, x, shift, sums, largest)
}

// fma32 leaves it to arm64's compiler, which fuses what the language lets it.
func fma32(v, w, s float32) float32 {
	if runtime.GOARCH == "arm64" {
		return v*w + s
	}
	return roundedOnce(v, w, s)
}
