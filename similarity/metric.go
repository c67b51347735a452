package similarity

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace-go/millrace/similarity/vector"
)

// Metric says how far two vectors are from each other. The zero value is
// Euclidean.
type Metric uint8

const (
	// Euclidean is the length of the difference: sqrt(sum((a-b)^2)).
	Euclidean Metric = iota
	// Cosine is 1 minus the cosine of the angle: 1 - a.b/(|a||b|), from 0 (same
	// direction) to 2 (opposite). It is told to 1e-16: what is nearer than that,
	// by an angle below some 1e-8, is at 0. Of a vector of zeros it is
	// undefined, so such vectors are refused.
	Cosine
	// InnerProduct is -a.b, so that a smaller distance is nearer here too; it
	// may be negative, and an item need not be the nearest to itself. For
	// vectors of length 1 its order is that of the other two.
	InnerProduct
)

// String is "euclidean", "cosine" or "inner product".
func (m Metric) String() string {
	switch m {
	case Euclidean:
		return "euclidean"
	case Cosine:
		return "cosine"
	case InnerProduct:
		return "inner product"
	}
	return fmt.Sprintf("Metric(%d)", uint8(m))
}

// Distance is the metric's definition in float64, for checks and small jobs;
// it looks at the values only. Different lengths, an unknown metric and, under
// Cosine, a vector of zeros are an error.
func (m Metric) Distance(a, b []float32) (float64, error) {
	if len(a) != len(b) {
		return 0, fmt.Errorf("similarity: distance of %d values to %d values", len(a), len(b))
	}
	q := appendFloat64s(nil, a)
	switch m {
	case Euclidean:
		return math.Sqrt(sumSquares(q, b, math.Inf(1))), nil
	case Cosine:
		aa, bb := dot(a, a), dot(b, b)
		if aa == 0 || bb == 0 {
			return 0, errZero
		}
		return cosineDistance(dot(q, b), aa, bb), nil
	case InnerProduct:
		return 0 - dot(q, b), nil // not -0
	}
	return 0, m.unknown()
}

// Check is [vector.Vector.Check], and what the metric asks for besides: under
// Cosine, a vector that is not all zeros.
func (m Metric) Check(v vector.Vector) error {
	if m > InnerProduct {
		return m.unknown()
	}
	if err := v.Check(); err != nil {
		return err
	}
	if m == Cosine {
		for _, x := range v.Values {
			if x != 0 {
				return nil
			}
		}
		return errZero
	}
	return nil
}

// CheckIn is [vector.Vector.CheckIn], and what the metric asks for besides, as
// [Metric.Check].
func (m Metric) CheckIn(v vector.Vector, space string, dim int) error {
	if err := v.CheckIn(space, dim); err != nil {
		return err
	}
	return m.Check(v)
}

var errZero = errors.New("similarity: all values are 0: a vector without direction has no cosine distance")

func (m Metric) unknown() error {
	return fmt.Errorf("similarity: %v is not a metric: use Euclidean, Cosine or InnerProduct", m)
}

// cosineDistance of the dot product ab and the squared lengths aa and bb. One
// root of their product, not a product of roots, makes it exactly 0 for equal
// vectors; the rest of the rounding is cut off at the ends.
func cosineDistance(ab, aa, bb float64) float64 {
	return min(max(1-ab/math.Sqrt(aa*bb), 0), 2)
}
