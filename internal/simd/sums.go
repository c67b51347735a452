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

// Update adds a v + b w to x, and then s x to y; all are of one length. It
// walks over x once, and is fused as [Kernel.AddScaled] is.
func (k Kernel) Update(x []float64, a float64, v []float64, b float64, w []float64, s float64, y []float64) {
	v, w, y = v[:len(x)], w[:len(x)], y[:len(x)]
	n := 0
	if k != Portable && len(x) >= Tile {
		n = len(x) &^ (Tile - 1)
		k.update(x[:n], a, v[:n], b, w[:n], s, y[:n])
	}
	for i := n; i < len(x); i++ {
		x[i] = math.FMA(b, w[i], math.FMA(a, v[i], x[i]))
		y[i] = math.FMA(s, x[i], y[i])
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
