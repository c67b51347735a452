//go:build !amd64 || purego

package simd

func (k Kernel) outer(c []float64, stride int, a, b []float64, rows int) { outer(c, stride, a, b) }

// Nothing calls these: there is no kernel but Portable.

func (k Kernel) addScaled(y []float64, s float64, x []float64) {}

func (k Kernel) update(x []float64, a float64, v []float64, b float64, w []float64, s float64, y []float64) {
}
