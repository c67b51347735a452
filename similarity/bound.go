package similarity

import (
	"math"

	"github.com/millrace-go/millrace/internal/simd"
)

// bound tells, from a dot product in float32, between what a distance lies,
// so that few rows need the exact one.
//
// It speaks of a row's score: the squared distance by Euclid, and the distance
// itself by the other metrics. For the proof, let q and x be the query and the
// row, p their true dot product, and p' the kernel's, finite, so that
// |p'-p| <= r|q||x| + a (see [simd.Bound]); and let s, which is much larger
// than needed, stand for all roundings in float64: those of the lengths, of
// what is computed here, and of the distance itself, which is what decides. g
// is r+s. The score is then within
//
//	Euclidean    |q|^2+|x|^2 - 2p'   +- (g(|q|^2+|x|^2) + 2a), as 2|q||x| <= |q|^2+|x|^2
//	Cosine       1 - p'/(|q||x|)     +- (g + a/(|q||x|))
//	InnerProduct -p'                 +- (g|q||x| + a)
//
// A row whose score's lower end exceeds k others' upper ends is not among the
// k nearest, not even by a tie: s is so large that the roots of scores so far
// apart differ too.
//
// By a projection (see [Refined]) the rows that are scanned are shorter than
// those that are measured. The score is the squared distance, by cosine that
// of the vectors made as long as 1, and lies above what is computed of the
// short rows, but for an error of g; the upper end is farther off by
// 4 |q'||x'|, q' and x' being what the projection leaves out: the first value
// of each row, and what is usual.
//
// With codes (see [Quantized]), p' is the product of what they stand for, Q
// and X, whose difference from p is at most
//
//	|q||x-X| + |q-Q||X| <= (1+m)|q||x-X| + m|q||x|, m = |q-Q|/|q|
//
// as |X| <= |x|+|x-X|. So m of the query comes onto g, and (1+m)|q|, its reach,
// times |x-X|, the row's miss, onto a.
type bound struct {
	metric    Metric // of the rows that are scanned
	measured  Metric // of those that are measured
	projected bool
	usual     float64 // of what is left out: see projector
	coded     bool
	g, a      float64
	slack     float64 // s
}

// newBound is for rows of dim values that are scanned and measured.
func newBound(metric Metric, dim int) bound {
	relative, absolute := simd.Bound(dim)
	slack := float64(dim+16) * 0x1p-50
	return bound{metric: metric, measured: metric, g: relative + slack, a: absolute, slack: slack}
}

// newCodeBound is for rows of dim codes. Their sums are rounded twice, where
// the upper and the lower parts of a query are, together, at most
// 1+sqrt(dim)/64 times as long as it; the rest of r is for the four roundings of
// a [simd.CodeCut], and for m's own.
func newCodeBound(metric Metric, dim int) bound {
	b := newBound(metric, dim)
	b.coded = true
	b.g = 0x1p-19*(1+math.Sqrt(float64(dim))/64) + b.slack
	b.a += 0x1p-120
	if dim > simd.MaxCodes {
		b.g = math.Inf(1)
	}
	return b
}

// reach is what a row's miss counts, at most.
func (b *bound) reach(q *query) float64 { return q.length * (1 + q.miss + b.g) }

// size is what a bound needs to know of a row whose square is given: half of
// that by Euclid, else the length.
func (m Metric) size(square float64) float64 {
	if m == Euclidean {
		return square / 2
	}
	return math.Sqrt(square)
}

// between returns the ends of the score of a row.
func (b *bound) between(q *query, size float64, dot float32) (low, high float64) {
	return b.ends(q, size, float64(dot), b.g, b.a)
}

// betweenCodes is between, for a row of codes.
func (b *bound) betweenCodes(q *query, size float64, dot, scale, miss float32) (low, high float64) {
	p := q.factor * float64(scale) * float64(dot)
	return b.ends(q, size, p, b.g+q.miss, b.a+b.reach(q)*float64(miss))
}

// endsOf are those of a row of a view.
func (b *bound) endsOf(q *query, v *view, row int, dot float32) (low, high float64) {
	if b.coded {
		mark := simd.MarkAt(row)
		low, high = b.betweenCodes(q, v.sizes[row], dot, v.rough[mark], v.rough[mark+simd.Panel])
	} else {
		low, high = b.between(q, v.sizes[row], dot)
	}
	if b.projected {
		high = addLeftOut(high, float64(q.scanned[0])+b.usual, v.first(row)+b.usual)
	}
	return low, high
}

// wide tells whether the ends are so far from each other that more rows wait.
func (b *bound) wide() bool { return b.projected || b.coded }

func (b *bound) ends(q *query, size, p, g, a float64) (low, high float64) {
	if g > 0.5 || p-p != 0 || a-a != 0 { // too many values for float32 to tell anything, or overflow
		return math.Inf(-1), math.Inf(1)
	}
	var score, off float64
	switch b.metric {
	case Euclidean:
		squares := q.square + 2*size
		score, off = squares-2*p, g*squares+2*a
	case Cosine:
		lengths := q.length * size
		// The distance is cut off at 0 and 2.
		score, off = 1-p/lengths, g+a/lengths
		return min(score-off, 2), max(score+off, 0)
	case InnerProduct:
		score, off = -p, g*q.length*size+a
	}
	return score - off, score + off
}

// tooFar tells, through a projection or by codes, in float32 and so in a fraction
// of the time, that a row's score exceeds highest. The score is the squared
// distance then, and the root of what is computed rounds as score says.
func (b *bound) tooFar(kernel simd.Kernel, q *query, values []float32, highest float64) bool {
	if !b.wide() || b.measured != Euclidean || math.IsInf(highest, 1) {
		return false
	}
	square := kernel.Squares(q.whole, values)
	relative, absolute := simd.Bound(len(values) + 8)
	// Sums beyond float32 tell nothing.
	return square <= math.MaxFloat32 && float64(square)*(1-relative-b.slack)-absolute > highest
}

// addLeftOut raises an upper end by what projections leave out.
func addLeftOut(high, q, x float64) float64 {
	if high += 4 * q * x; math.IsNaN(high) {
		return math.Inf(1)
	}
	return high
}

// score is the highest that a row may have whose distance is not more than d.
func (b *bound) score(d float64) float64 {
	switch {
	case b.projected && b.measured == Cosine: // of vectors as long as 1, the square is 2-2cos
		return 2*d + 4*b.slack
	case b.metric == Euclidean:
		// Two squares that differ in their last bit may have the same root, and
		// then the id decides.
		return d * d * (1 + 1e-14)
	}
	return d
}

// cut is what keeps all rows in whose score's lower end is at most highest.
// No row is longer than largest.
//
// It is between, solved for p': p' - slope size >= limit. The kernel computes
// the left side of that with one rounding, which moves nothing over a float32.
// With codes, the row's miss counts on that side as well. Slope and limit are
// rounded, and the sizes were, so that all errs towards in;
// tiny stands for what may be flushed to 0. Where a dot product could overflow
// in float32, it tells nothing.
func (b *bound) cut(q *query, highest, largest float64) simd.CodeCut {
	const tiny = 0x1p-124
	all := simd.CodeCut{Limit: float32(math.Inf(-1))}
	g := b.g + q.miss
	if g > 0.5 || math.IsInf(highest, 1) || q.length*largest > 0x1p126 || b.coded && q.length > 0x1p110 {
		return all
	}
	var slope, limit float64
	switch b.metric {
	case Euclidean:
		slope, limit = 1-g, ((1-g)*q.square-highest)/2-b.a
	case Cosine:
		slope, limit = (1-highest-g)*q.length, -b.a
	case InnerProduct:
		slope, limit = -g*q.length, -highest-b.a
	}
	limit -= (1 + math.Abs(slope)) * tiny
	// What is computed here has roundings too: of a few of float64's last bits,
	// where g has thousands.
	if slope < 0 {
		slope = min(slope*(1+0x1p-22), -0x1p-126)
	}
	if limit > 0 && limit < 0x1p-126 {
		limit = 0
	}
	cut := simd.CodeCut{Slope: down(slope), Limit: down(limit)}
	if b.coded {
		cut.Factor, cut.Reach = float32(q.factor), up(b.reach(q))
	}
	return cut
}
