//go:build (!amd64 && !arm64) || purego

package simd

// Nothing calls these: there is no kernel but Portable.

func (k Kernel) outer(c []float64, cStride int, a, b []float64, bStride, rows int) {}

func (k Kernel) addRows(y, s, rows []float64, stride int) {}

func (k Kernel) addScaled(y []float64, s float64, x []float64) {}

func (k Kernel) pair(lanes *[PairRows][4]float64, y, a []float64, stride int, s, x []float64) {
}
