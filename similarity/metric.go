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
	// direction) to 2 (opposite). It is told to ten digits, however small it is; of
	// vectors that are multiples of each other it is 0. Of a vector of zeros it is
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
		square := dot(a, a)
		if square == 0 || dot(b, b) == 0 {
			return 0, errZero
		}
		return cosineDistance(q, square, b), nil
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

// cosineDistance is that of q, whose squared length is given, and x.
func cosineDistance(q []float64, square float64, x []float32) float64 {
	other := dot(x, x)
	d := 1 - dot(q, x)/math.Sqrt(square*other)
	if d < 0x1p-14 { // then too many of its digits are the rounding of the cosine
		d = smallCosine(q, square, x, other)
	}
	return min(d, 2)
}

// smallCosine is the cosine distance of vectors that all but point the same way, of
// the given squared lengths. With r = x - t q, t so that it is 0 at q's largest
// value, what of r is across q is |x| sin, and the distance is 1-cos = sin^2/(1+cos).
// Nothing is lost: r, times that value, is the difference of products of float32,
// which are exact; and r along q is not much larger than across it.
func smallCosine(q []float64, square float64, x []float32, other float64) float64 {
	at := 0
	for i, v := range q {
		if math.Abs(v) > math.Abs(q[at]) {
			at = i
		}
	}
	a, b := q[at], float64(x[at])
	var rr, rq float64
	for i, v := range x {
		r := float64(v)*a - q[i]*b
		rr += r * r
		rq += r * q[i]
	}
	sin2 := max(rr-rq/square*rq, 0) / (a * a * other)
	return sin2 / (1 + math.Sqrt(1-min(sin2, 1)))
}
