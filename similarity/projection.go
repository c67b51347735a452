package similarity

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace-go/millrace/internal/simd"
)

// Projection is an orthonormal one: what it makes of two vectors is never
// farther apart than they are. *reduce.PCA is one.
type Projection interface {
	// InputSpace is the space of what is projected.
	InputSpace() string
	// Dim is the number of values of what is projected.
	Dim() int
	// Components is how many values are left.
	Components() int
	// Component is the i-th direction: Dim values, of length 1 and at right
	// angles to the others.
	Component(i int) []float64
	// Mean is taken off before: Dim values.
	Mean() []float64
}

// projector is the encoder of a [Refined]. A scanned row is the length of what
// the projection leaves out, less what is usual, and the projection of the
// item's values, less the mean. Two of them are not farther apart than the items;
// nor are the items farther than by the sum, in place of the difference, of what
// is left out. By cosine the values are made as long as 1 first: their squared
// distance is then twice the cosine's.
type projector struct {
	metric     Metric
	quantized  bool
	dim        int
	components [][]float64
	mean       []float64
	usual      float64   // length of what is left out: without it, that would be most of a row
	skew       float64   // how far the components are from orthonormal
	columns    []float64 // the components, value by value: dim x stride

	// Of project.
	centred []float64
	sums    []float64
}

// newProjector puts components right that were kept in float32.
func newProjector(metric Metric, p Projection) (*projector, error) {
	e, err := readProjector(metric, p)
	if err != nil {
		return nil, err
	}
	e.orthonormalize()
	e.usual = usual(metric, p)
	e.finish()
	return e, nil
}

// usual is the root of the variance that is left out, if the projection tells.
func usual(metric Metric, p Projection) float64 {
	told, ok := p.(interface {
		ExplainedVariance() []float64
		ExplainedVarianceRatio() []float64
	})
	if !ok {
		return 0
	}
	variance, ratio := 0.0, 0.0
	for _, v := range told.ExplainedVariance() {
		variance += v
	}
	for _, r := range told.ExplainedVarianceRatio() {
		ratio += r
	}
	length := math.Sqrt(variance / ratio * max(1-ratio, 0))
	if !(length <= math.MaxFloat32) || metric == Cosine && length > 1 { // then it is not of vectors as long as 1
		return 0
	}
	return length
}

// readProjector takes the components as they are; finish is still to be called.
func readProjector(metric Metric, p Projection) (*projector, error) {
	if w, ok := p.(interface{ Whitened() bool }); ok && w.Whitened() {
		return nil, errors.New("the projection whitens: distances of what it makes tell nothing of the vectors' own; take one that does not")
	}
	e := &projector{metric: metric, dim: p.Dim(), mean: p.Mean()}
	if e.dim < 1 || len(e.mean) != e.dim {
		return nil, fmt.Errorf("a mean of %d values, for vectors of %d", len(e.mean), e.dim)
	}
	for i := range p.Components() {
		c := append([]float64(nil), p.Component(i)...)
		if len(c) != e.dim {
			return nil, fmt.Errorf("component %d has %d values, and the mean %d", i, len(c), e.dim)
		}
		e.components = append(e.components, c)
	}
	if n := len(e.components); n < 1 || n > e.dim {
		return nil, fmt.Errorf("%d components of vectors of %d values", n, e.dim)
	}
	for _, m := range e.mean {
		if math.IsNaN(m) || math.IsInf(m, 0) {
			return nil, errors.New("the mean is not finite")
		}
	}
	if skew := e.measureSkew(); !(skew < 1e-3) {
		return nil, fmt.Errorf("the components are not orthonormal, but off by %.2g: whitened, or scaled? Distances of what they make tell nothing of the vectors' own", skew)
	}
	return e, nil
}

// finish derives what the components determine.
func (e *projector) finish() {
	e.skew = e.measureSkew()
	stride := e.stride()
	e.columns = make([]float64, e.dim*stride)
	for k, c := range e.components {
		for d, x := range c {
			e.columns[d*stride+k] = x
		}
	}
}

// stride is the number of components in whole vectors of the kernels.
func (e *projector) stride() int { return (len(e.components) + simd.Tile - 1) / simd.Tile * simd.Tile }

// measureSkew is the Frobenius norm of the components' products less the
// identity.
func (e *projector) measureSkew() float64 {
	sum := 0.0
	for i, a := range e.components {
		for j, b := range e.components[:i+1] {
			p := dot64(a, b)
			if i == j {
				sum += (p - 1) * (p - 1)
			} else {
				sum += 2 * p * p
			}
		}
	}
	return math.Sqrt(sum)
}

// orthonormalize is Gram's and Schmidt's method, twice.
func (e *projector) orthonormalize() {
	for range 2 {
		for i, a := range e.components {
			for _, b := range e.components[:i] {
				p := dot64(a, b)
				for d := range a {
					a[d] -= p * b[d]
				}
			}
			length := math.Sqrt(dot64(a, a))
			for d := range a {
				a[d] /= length
			}
		}
	}
}

// width is the number of values that are scanned.
func (e *projector) width() int { return len(e.components) + 1 }

func (e *projector) shape(dim int) shape {
	if e.quantized {
		return shape{codes: simd.CodeSize(e.width()), full: dim}
	}
	return shape{values: e.width(), full: dim}
}

func (e *projector) encode(values []float32) row { return e.row(e.project(values), values) }

// row is an item's, whose projection is given.
func (e *projector) row(scanned, values []float32) row {
	square := dot(scanned, scanned)
	r := row{values: scanned, full: values, size: Euclidean.size(square), length: math.Sqrt(square)}
	if e.quantized {
		r.coded = newCoded(scanned, r.length)
	}
	return r
}

// project returns what is scanned.
func (e *projector) project(values []float32) []float32 {
	scale := 1.0
	if e.metric == Cosine {
		scale = 1 / math.Sqrt(dot(values, values))
	}
	e.centred = e.centred[:0]
	for d, v := range values {
		e.centred = append(e.centred, float64(v)*scale-e.mean[d])
	}
	stride := e.stride()
	if e.sums == nil {
		e.sums = make([]float64, stride)
	}
	clear(e.sums)
	simd.Best().AddRows(e.sums, e.centred, e.columns, stride)
	out := dot64(e.centred, e.centred)
	scanned := make([]float32, e.width())
	for i, p := range e.sums[:len(e.components)] {
		out -= p * p
		scanned[i+1] = float32(p)
	}
	scanned[0] = float32(math.Sqrt(max(out, 0)) - e.usual)
	return scanned
}

// queries returns a maker of makers of queries, of which so many are scanned at
// once; each maker is for one goroutine.
func (e *projector) queries(n int) func() func(values []float32) query {
	return func() func(values []float32) query {
		own := e.clone()
		return func(values []float32) query {
			q := newQuery(own.project(values), values)
			if e.quantized {
				q.quantize(codeStep(n))
			}
			return q
		}
	}
}

// bound is for what project made. Beside the errors of float32 and float64 that
// a bound stands for, what is scanned is off by these, as parts of the length of
// the values less the mean:
//
//   - its rounding to float32;
//   - skew, as there is an orthonormal projection so near to the components;
//   - the roundings of its sums;
//   - the root of all of that (but the first), for the length of what is left
//     out, which is the root of a difference.
//
// Let that be e for both rows; the true distance d of the rows and the computed
// one, D, differ by e(|q|+|x|), the squares by at most 4e(1+e)(|q|^2+|x|^2), and
// what addLeftOut adds is off by as much again. A scanned row may be shorter by
// what is usual, u, so that for |x|^2 stands twice the square of what is scanned,
// and 2u^2.
// What is measured has roundings of its own: slack once more, which by cosine
// is a part of 1, as the lengths of what is scanned need not be near that.
func (e *projector) bound() bound {
	width := e.width()
	b := layout{Euclidean, e.quantized}.bound(width)
	b.measured, b.projected = e.metric, true
	b.slack = float64(e.dim+width+16) * 0x1p-50
	sums := 2*b.slack + 4*e.skew
	off := 0x1p-24 + e.skew + math.Sqrt(float64(width))*b.slack + math.Sqrt(sums)
	b.usual = e.usual
	b.g += 2*8.4*off + b.slack
	b.a += 2 * 8.4 * off * e.usual * e.usual
	if e.metric == Cosine {
		b.a += 16 * b.slack
	}
	return b
}

// clone may project at the same time.
func (e *projector) clone() *projector {
	c := *e
	c.centred, c.sums = nil, nil
	return &c
}

// dot64 is sum(a*b).
func dot64(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3, s4, s5, s6, s7 float64
	for len(a) >= 8 {
		x, y := (*[8]float64)(a), (*[8]float64)(b)
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
		s4 += x[4] * y[4]
		s5 += x[5] * y[5]
		s6 += x[6] * y[6]
		s7 += x[7] * y[7]
		a, b = a[8:], b[8:]
	}
	for i, v := range a {
		s0 += v * b[i]
	}
	return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
}
