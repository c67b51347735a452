//go:build !amd64 || purego

package simd

// squares leaves the sums to as many accumulators as a processor keeps busy.
func (k Kernel) squares(q, x []float32) float32 {
	var sums [8]float32
	for len(q) >= 8 {
		a, b := (*[8]float32)(q), (*[8]float32)(x)
		for i := range sums {
			d := a[i] - b[i]
			sums[i] += d * d
		}
		q, x = q[8:], x[8:]
	}
	return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
}
