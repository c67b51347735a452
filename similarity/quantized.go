package similarity

import (
	"math"

	"github.com/millrace-go/millrace/internal/simd"
)

// Option is a choice that an index is made with. It never changes an answer.
type Option func(*layout)

// Quantized has an index scan a byte a value instead of four, and measure the
// few items that those bytes cannot prove to be too far: the answers stay exact,
// to the last bit, and come sooner, up to four times where the scan waits for
// memory. It is for vectors of some hundred values, as embeddings are, with no
// value much larger than the others; and for amd64, with AVX2 or AVX-512 VNNI:
// elsewhere bytes are scanned by plain Go, which is slower than a plain index.
//
// Memory is 5 bytes a value and some 50 an item. Of a [File], items that were
// there when it was opened take 1 byte a value: their whole vectors stay in the
// file, of which the system keeps in memory what is used.
func Quantized() Option { return func(l *layout) { l.quantized = true } }

// layout is how an index keeps its vectors: the encoder of an [Index] and of
// an [IVF].
type layout struct {
	metric    Metric
	quantized bool
}

func newLayout(metric Metric, options []Option) layout {
	l := layout{metric: metric}
	for _, o := range options {
		o(&l)
	}
	return l
}

func (l layout) shape(dim int) shape {
	if l.quantized {
		return shape{codes: simd.CodeSize(dim), full: dim}
	}
	return shape{values: dim}
}

func (l layout) encode(values []float32) row {
	square := dot(values, values)
	r := row{values: values, size: l.metric.size(square), length: math.Sqrt(square)}
	if l.quantized {
		r.coded, r.full = newCoded(values, r.length), values
	}
	return r
}

// queries returns a maker of queries, of which so many are scanned at once.
func (l layout) queries(n int) func() func(values []float32) query {
	return func() func(values []float32) query {
		return func(values []float32) query {
			q := newQuery(values, values)
			if l.quantized {
				q.quantize(codeStep(n))
			}
			return q
		}
	}
}

func (l layout) bound(dim int) bound {
	if l.quantized {
		return newCodeBound(l.metric, dim)
	}
	return newBound(l.metric, dim)
}

// faint is below what codes are made of: products of such numbers could become
// 0 in float32.
const faint = 0x1p-100

// coded is a row in bytes: value d is about scale*(codes[d]-simd.CodeZero), and
// miss is not less than the length of what that leaves out.
type coded struct {
	codes       []byte
	scale, miss float32
}

func newCoded(values []float32, length float64) coded {
	c := coded{codes: make([]byte, len(values))}
	scale := largest(values) / simd.CodeMost * (1 + 0x1p-20)
	if scale < faint || len(values) > simd.MaxCodes { // then the codes tell nothing
		scale = 0
	}
	c.scale = float32(scale)
	if c.scale == 0 {
		for d := range c.codes {
			c.codes[d] = simd.CodeZero
		}
		c.miss = up(max(length*(1+0x1p-40), 0x1p-126))
		return c
	}
	scale = float64(c.scale)
	inverse, square := 1/scale, 0.0
	for d, v := range values {
		code := math.RoundToEven(float64(v) * inverse)
		left := float64(v) - scale*code
		square += left * left
		c.codes[d] = byte(simd.CodeZero + int(code))
	}
	c.miss = up(max(math.Sqrt(square)*(1+float64(len(values))*0x1p-50), 0x1p-126))
	return c
}

// codeStep is what a query's numbers are multiples of, when so many are scanned
// at once.
func codeStep(n int) int {
	if n > 1 {
		return simd.CodeStep
	}
	return 1
}

// quantize makes the query's numbers, multiples of step, and tells what they
// leave out: see bound.
func (q *query) quantize(step int) {
	most := simd.CodeQueryMost / step
	numbers := make([]int16, len(q.scanned))
	factor := float32(largest(q.scanned) / float64(most*step) * (1 + 0x1p-20))
	if factor < faint {
		factor = 0
	}
	q.factor = float64(factor)
	square, part, inverse := 0.0, q.factor*float64(step), 0.0
	if factor > 0 {
		inverse = 1 / part
	}
	for d, v := range q.scanned {
		number := math.RoundToEven(float64(v) * inverse)
		left := float64(v) - part*number
		square += left * left
		numbers[d] = int16(step) * int16(number)
	}
	if q.length > 0 {
		q.miss = math.Sqrt(square) / q.length * (1 + 0x1p-20)
	}
	q.codes = simd.NewCodeQuery(numbers)
}

// largest is the largest value, without its sign.
func largest(values []float32) float64 {
	m := float32(0)
	for _, v := range values {
		m = max(m, v, -v)
	}
	return float64(m)
}
