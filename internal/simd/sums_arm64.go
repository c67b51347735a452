//go:build !purego

package simd

import "math"

// Sums in float64 are in Go here, where math.FMA is one instruction.

func (k Kernel) outer(c []float64, cStride int, a, b []float64, bStride, rows int) {
	outer(c, cStride, a, b, bStride)
}

func (k Kernel) addRows(y, s, rows []float64, stride int) {
	for j, v := range s {
		for i, x := range rows[j*stride : j*stride+len(y)] {
			y[i] = math.FMA(v, x, y[i])
		}
	}
}

func (k Kernel) addScaled(y []float64, s float64, x []float64) {
	for i, v := range x {
		y[i] = math.FMA(s, v, y[i])
	}
}

func (k Kernel) pair(lanes *[PairRows][4]float64, y, a []float64, stride int, s, x []float64) {
	pair(lanes, y, a, stride, s, x)
}
