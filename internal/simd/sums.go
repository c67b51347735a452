package simd

import "math"

// Tile is the edge of the square that [Kernel.Outer] adds to.
const Tile = 8

// Outer adds a'b to a square of [Tile] x Tile values of c, whose rows are
// stride apart: a and b are row-major, Tile values a row, and of equal length.
//
// Each value is summed in float64 down the rows, one fused multiply-add after
// the other, so that all kernels give the same bits. k must be at most [Best].
func (k Kernel) Outer(c []float64, stride int, a, b []float64) {
	c = c[:(Tile-1)*stride+Tile]
	b = b[:len(a)]
	rows := len(a) / Tile
	if k == Portable || rows == 0 {
		outer(c, stride, a, b)
		return
	}
	k.outer(c, stride, a, b, rows)
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
func outer(c []float64, stride int, a, b []float64) {
	for ; len(a) >= Tile; a, b = a[Tile:], b[Tile:] {
		row := (*[Tile]float64)(b)
		for i, v := range (*[Tile]float64)(a) {
			to := (*[Tile]float64)(c[i*stride:])
			for j, w := range row {
				to[j] = math.FMA(v, w, to[j])
			}
		}
	}
}
