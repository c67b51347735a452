//go:build (!amd64 && !arm64) || purego

package simd

// Nothing calls these: there is no kernel but Portable.

func (k Kernel) outer(c []float64, cStride int, a, b []float64, bStride, rows int) {}

func (k Kernel) addRows(y, s, rows []float64, stride int) {}

func (k Kernel) addScaled(y []float64, s float64, x []float64) {}

func (k Kernel) update(x []float64, a float64, v []float64, b float64, w []float64, s float64, y []float64) {
}
