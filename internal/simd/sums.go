package simd

import "math"

// Tile is the edge of the square that [Kernel.Outer] adds to.
const Tile = 8

// Outer adds a'b to a square of [Tile] x Tile values of c, whose rows are
// cStride apart. a has Tile values a row, and nothing between them; b as many
// rows of as many values, bStride apart.
//
// Each value is summed in float64 down the rows, one fused multiply-add after
// the other, so that all kernels give the same bits. k must be at most [Best].
func (k Kernel) Outer(c []float64, cStride int, a, b []float64, bStride int) {
	rows := len(a) / Tile
	if rows == 0 {
		return
	}
	c = c[:(Tile-1)*cStride+Tile]
	b = b[:(rows-1)*bStride+Tile]
	if k == Portable {
		outer(c, cStride, a, b, bStride)
		return
	}
	k.outer(c, cStride, a, b, bStride, rows)
}

// AddRows adds to y rows of as many values, stride apart, the first s[0] times
// and so on. It gives the bits of an [Kernel.AddScaled] a row, and keeps y in
// registers.
func (k Kernel) AddRows(y, s, rows []float64, stride int) {
	if len(s) == 0 {
		return
	}
	rows = rows[:(len(s)-1)*stride+len(y)]
	n := 0
	if k != Portable && len(y) >= Tile {
		n = len(y) &^ (Tile - 1)
		k.addRows(y[:n], s, rows, stride)
	}
	if n == len(y) {
		return
	}
	for j, v := range s {
		for i, x := range rows[j*stride+n : j*stride+len(y)] {
			y[n+i] = math.FMA(v, x, y[n+i])
		}
	}
}

// AddScaled adds s x to y, which is as long; fused, so that all kernels give
// the same bits.
func (k Kernel) AddScaled(y []float64, s float64, x []float64) {
	y = y[:len(x)]
	n := 0
	if k != Portable && len(x) >= Tile {
		n = len(x) &^ (Tile - 1)
		k.addScaled(y[:n], s, x[:n])
	}
	for i, v := range x[n:] {
		y[n+i] = math.FMA(s, v, y[n+i])
	}
}

// PairRows is how many rows [Kernel.Pair] takes.
const PairRows = 4

// Pair multiplies rows of a, stride apart and of as many values as x, from both
// sides while it reads them once: it adds their products with x to sums, and to y
// the rows, the first s[0] times and so on. That many values must be a multiple
// of 4.
//
// A product with x is four sums of every fourth value, which are added in the end.
// All is fused, so that all kernels give the same bits.
func (k Kernel) Pair(sums *[PairRows]float64, y, a []float64, stride int, s, x []float64) {
	if len(x) == 0 {
		return
	}
	y, s, a = y[:len(x)], s[:PairRows], a[:(PairRows-1)*stride+len(x)]
	var lanes [PairRows][4]float64
	if k == Portable {
		pair(&lanes, y, a, stride, s, x)
	} else {
		k.pair(&lanes, y, a, stride, s, x)
	}
	for r, l := range lanes {
		sums[r] += (l[0] + l[1]) + (l[2] + l[3])
	}
}

// pair is Pair in plain Go.
func pair(lanes *[PairRows][4]float64, y, a []float64, stride int, s, x []float64) {
	for r := range PairRows {
		row, l, by := a[r*stride:r*stride+len(x)], &lanes[r], s[r]
		for j, v := range row {
			l[j&3] = math.FMA(v, x[j], l[j&3])
			y[j] = math.FMA(v, by, y[j])
		}
	}
}

// outer is Outer in plain Go.
func outer(c []float64, cStride int, a, b []float64, bStride int) {
	for r := range len(a) / Tile {
		row := (*[Tile]float64)(b[r*bStride:])
		for i, v := range (*[Tile]float64)(a[r*Tile:]) {
			to := (*[Tile]float64)(c[i*cStride:])
			for j, w := range row {
				to[j] = math.FMA(v, w, to[j])
			}
		}
	}
}
