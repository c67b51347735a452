package similarity

import (
	"math"

	"github.com/millrace-go/millrace/internal/simd"
)

// query is a query as it is scanned, and as it is measured.
type query struct {
	scanned []float32
	square  float64 // of scanned
	length  float64 // of scanned

	// With codes: scanned is about factor times their numbers, but for a part of
	// its length, miss.
	codes  simd.CodeQuery
	factor float64
	miss   float64

	whole        []float32 // as it was asked
	values       []float64 // the same
	valuesSquare float64
}

func newQuery(scanned, values []float32) query {
	q := query{scanned: scanned, square: dot(scanned, scanned), whole: values, values: appendFloat64s(make([]float64, 0, len(values)), values)}
	q.length = math.Sqrt(q.square)
	q.valuesSquare = q.square
	if &scanned[0] != &values[0] {
		q.valuesSquare = dot(values, values)
	}
	return q
}

// distance is the metric's, in float64. If it exceeds limit it may be +Inf.
func (m Metric) distance(q *query, values []float32, limit float64) float64 {
	switch m {
	case Cosine:
		return cosineDistance(q.values, q.valuesSquare, values)
	case InnerProduct:
		return 0 - dot(q.values, values)
	case Euclidean:
	}
	limit *= limit * (1 + 1e-14)
	sum := sumSquares(q.values, values, limit)
	if sum > limit {
		return math.Inf(1)
	}
	return math.Sqrt(sum)
}

// sumSquares is sum((q-x)^2). It may give up with a part of the sum once that
// exceeds limit: the terms are not negative, so the whole would too.
func sumSquares(q []float64, x []float32, limit float64) float64 {
	const block = 32
	q = q[:len(x)]
	var s0, s1, s2, s3 float64
	for len(x) >= block {
		xb, qb := (*[block]float32)(x), (*[block]float64)(q)
		for i := 0; i < block; i += 4 {
			d0 := qb[i] - float64(xb[i])
			d1 := qb[i+1] - float64(xb[i+1])
			d2 := qb[i+2] - float64(xb[i+2])
			d3 := qb[i+3] - float64(xb[i+3])
			s0 += d0 * d0
			s1 += d1 * d1
			s2 += d2 * d2
			s3 += d3 * d3
		}
		x, q = x[block:], q[block:]
		if sum := s0 + s1 + s2 + s3; sum > limit {
			return sum
		}
	}
	for i, v := range x {
		d := q[i] - float64(v)
		s0 += d * d
	}
	return s0 + s1 + s2 + s3
}

// dot is sum(q*x). Its order of adding is that of sumSquares.
func dot[Q float32 | float64](q []Q, x []float32) float64 {
	q = q[:len(x)]
	var s0, s1, s2, s3 float64
	for len(x) >= 4 {
		s0 += float64(q[0]) * float64(x[0])
		s1 += float64(q[1]) * float64(x[1])
		s2 += float64(q[2]) * float64(x[2])
		s3 += float64(q[3]) * float64(x[3])
		x, q = x[4:], q[4:]
	}
	for i, v := range x {
		s0 += float64(q[i]) * float64(v)
	}
	return s0 + s1 + s2 + s3
}

func appendFloat64s(dst []float64, src []float32) []float64 {
	for _, v := range src {
		dst = append(dst, float64(v))
	}
	return dst
}
