//go:build !purego

package simd

// product adds a run's products; AVX2 those of 6, 5 and 5 columns of a with all of
// b's, for so many there are registers.
func (k Kernel) product(c *[Square]float64, a, b []float32, unit float64) {
	rows := len(a) / Columns
	if k == AVX512 {
		productsAVX512(&c[0], &a[0], &b[0], rows, unit)
		return
	}
	products6AVX2(&c[0], &a[0], &b[0], rows, unit)
	products5AVX2(&c[6*Columns], &a[6], &b[0], rows, unit)
	products5AVX2(&c[11*Columns], &a[11], &b[0], rows, unit)
}

func (k Kernel) center(to []float32, step int, x, shift []float32, sums []float64, largest, ahead []float32) {
	panels := len(shift) / Columns
	if k == AVX512 {
		centerAVX512(&to[0], step, &x[0], &shift[0], &sums[0], &largest[0], &ahead[0], panels)
		return
	}
	centerAVX2(&to[0], step, &x[0], &shift[0], &sums[0], &largest[0], &ahead[0], panels)
}

func fma32(v, w, s float32) float32 { return roundedOnce(v, w, s) }

//go:noescape
func productsAVX512(c *float64, a, b *float32, rows int, unit float64)

//go:noescape
func products6AVX2(c *float64, a, b *float32, rows int, unit float64)

//go:noescape
func products5AVX2(c *float64, a, b *float32, rows int, unit float64)

//go:noescape
func centerAVX2(to *float32, step int, x, shift *float32, sums *float64, largest, ahead *float32, panels int)

//go:noescape
func centerAVX512(to *float32, step int, x, shift *float32, sums *float64, largest, ahead *float32, panels int)
