//go:build !purego

package simd

func (k Kernel) outer(c []float64, stride int, a, b []float64, rows int) {
	if k == AVX512 {
		outerAVX512(&c[0], stride, &a[0], &b[0], rows)
		return
	}
	const half = Tile / 2
	outerAVX2(&c[0], stride, &a[0], &b[0], rows)
	outerAVX2(&c[half*stride], stride, &a[half], &b[0], rows)
}

// addScaled does whole vectors.
func (k Kernel) addScaled(y []float64, s float64, x []float64) {
	if k == AVX512 {
		addScaledAVX512(&y[0], s, &x[0], len(x))
		return
	}
	addScaledAVX2(&y[0], s, &x[0], len(x))
}

// update does whole vectors.
func (k Kernel) update(x []float64, a float64, v []float64, b float64, w []float64, s float64, y []float64) {
	if k == AVX512 {
		updateAVX512(&x[0], a, &v[0], b, &w[0], s, &y[0], len(x))
		return
	}
	updateAVX2(&x[0], a, &v[0], b, &w[0], s, &y[0], len(x))
}

//go:noescape
func outerAVX2(c *float64, stride int, a, b *float64, rows int)

//go:noescape
func outerAVX512(c *float64, stride int, a, b *float64, rows int)

//go:noescape
func addScaledAVX2(y *float64, s float64, x *float64, n int)

//go:noescape
func addScaledAVX512(y *float64, s float64, x *float64, n int)

//go:noescape
func updateAVX2(x *float64, a float64, v *float64, b float64, w *float64, s float64, y *float64, n int)

//go:noescape
func updateAVX512(x *float64, a float64, v *float64, b float64, w *float64, s float64, y *float64, n int)
