package similarity

import (
	"math"

	"github.com/millrace-go/millrace/internal/simd"
)

// filter keeps rows away from the exact distance, which cannot be among the k
// best, by their dot products in float32 and a bound of those's error.
//
// For the proof, let q and x be the query and the row, p their true dot
// product, and p' the kernel's, finite, so that |p'-p| <= r|q||x| + a (see
// [simd.Bound]); and let s, which is much larger than needed, stand for all
// roundings in float64: those of the lengths, of what is computed here, and of
// the distance itself, which is what decides. g is r+s.
//
// Euclidean: a row is out if its |q-x|^2 = |q|^2+|x|^2-2p, as rounded, exceeds
// limit. As 2|q||x| <= |q|^2+|x|^2, it does if
//
//	(|q|^2+|x|^2)(1-g) - 2p' - 2a > limit
//
// Cosine: a row is out if its 1 - p/(|q||x|), as rounded, exceeds worst. It
// does if
//
//	1 - (p'+a)/(|q||x|) - g > worst
//
// Both are linear in p' and in a size of the row alone, |x|^2/2 and |x|: see
// [cut]. With a large offset (|q-x| much smaller than |q|) nothing is kept
// away, and each row's distance is computed.
type filter struct {
	kernel simd.Kernel
	metric Metric
	g, a   float64
}

func (x *Index) newFilter(kernel simd.Kernel) filter {
	relative, absolute := simd.Bound(x.dim)
	slack := float64(x.dim+16) * 0x1p-50
	return filter{kernel, x.metric, relative + slack, absolute}
}

// size is what a cut multiplies.
func (m Metric) size(row []float32) float64 {
	square := dot(row, row)
	if m == Cosine {
		return math.Sqrt(square)
	}
	return square / 2
}

// cut tells the rows that are out: slope size - p' > above.
type cut struct{ slope, above float64 }

// cut is where rows are out for q, given the best's worst and worstSquare.
func (f filter) cut(q *query, worst, limit float64) cut {
	switch {
	case f.g > 0.5: // too many values for float32 to tell anything
		return cut{0, math.Inf(1)}
	case f.metric == Cosine:
		return cut{(1 - worst - f.g) * math.Sqrt(q.square), f.a}
	}
	return cut{1 - f.g, (limit-(1-f.g)*q.square)/2 + f.a}
}

// keepsAway tells whether the row is out. If dot is not finite, it knows
// nothing, and the row is not.
func (c cut) keepsAway(size float64, dot float32) bool {
	low := c.slope*size - float64(dot)
	return low > c.above && low <= math.MaxFloat64
}
