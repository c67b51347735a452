//go:build !purego

package simd

func (k Kernel) outer(c []float64, cStride int, a, b []float64, bStride, rows int) {
	if k == AVX512 {
		outerAVX512(&c[0], cStride, &a[0], &b[0], bStride, rows)
		return
	}
	const half = Tile / 2
	outerAVX2(&c[0], cStride, &a[0], &b[0], bStride, rows)
	outerAVX2(&c[half*cStride], cStride, &a[half], &b[0], bStride, rows)
}

// addRows does whole vectors: as many as there are registers for, and the rest
// one by one.
func (k Kernel) addRows(y, s, rows []float64, stride int) {
	for len(y) > 0 {
		n := Tile
		switch {
		case k == AVX512 && len(y) >= 8*Tile:
			n = 8 * Tile
			addRows64AVX512(&y[0], &s[0], &rows[0], stride, len(s))
		case k == AVX512 && len(y) >= 4*Tile:
			n = 4 * Tile
			addRows32AVX512(&y[0], &s[0], &rows[0], stride, len(s))
		case k == AVX512:
			addRows8AVX512(&y[0], &s[0], &rows[0], stride, len(s))
		case len(y) >= 4*Tile:
			n = 4 * Tile
			addRows32AVX2(&y[0], &s[0], &rows[0], stride, len(s))
		default:
			addRows8AVX2(&y[0], &s[0], &rows[0], stride, len(s))
		}
		if y = y[n:]; len(y) > 0 {
			rows = rows[n:]
		}
	}
}

// addScaled does whole vectors.
func (k Kernel) addScaled(y []float64, s float64, x []float64) {
	if k == AVX512 {
		addScaledAVX512(&y[0], s, &x[0], len(x))
		return
	}
	addScaledAVX2(&y[0], s, &x[0], len(x))
}

func (k Kernel) pair(lanes *[PairRows][4]float64, y, a []float64, stride int, s, x []float64) {
	pairAVX2(&lanes[0][0], &y[0], &a[0], stride, &s[0], &x[0], len(x))
}

//go:noescape
func outerAVX2(c *float64, cStride int, a, b *float64, bStride, rows int)

//go:noescape
func outerAVX512(c *float64, cStride int, a, b *float64, bStride, rows int)

//go:noescape
func addRows8AVX2(y, s, rows *float64, stride, n int)

//go:noescape
func addRows32AVX2(y, s, rows *float64, stride, n int)

//go:noescape
func addRows8AVX512(y, s, rows *float64, stride, n int)

//go:noescape
func addRows32AVX512(y, s, rows *float64, stride, n int)

//go:noescape
func addRows64AVX512(y, s, rows *float64, stride, n int)

//go:noescape
func addScaledAVX2(y *float64, s float64, x *float64, n int)

//go:noescape
func addScaledAVX512(y *float64, s float64, x *float64, n int)

//go:noescape
func pairAVX2(lanes, y, a *float64, stride int, s, x *float64, n int)
