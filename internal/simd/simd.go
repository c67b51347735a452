// Package simd computes sums of products with the instructions of the processor it
// runs on, and says how wrong those in float32 may be.
package simd

import "math"

// Kernel is a way to compute. A processor that has one has those before it too.
type Kernel uint8

const (
	// Portable is plain Go.
	Portable Kernel = iota
	// AVX2 is amd64 with AVX2 and FMA.
	AVX2
	// AVX512 is amd64 with AVX-512 F besides.
	AVX512
)

// String is the kernel's name.
func (k Kernel) String() string {
	switch k {
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	default:
		return "portable"
	}
}

// Bound tells how far a dot product of n values from [Kernel.Dots] may be from
// the true one, whatever the kernel, if it is finite:
//
//	|computed - true| <= relative |q| |x| + absolute
//
// relative is gamma(n) = n u / (1 - n u), u = 2^-24: N. J. Higham, Accuracy and
// Stability of Numerical Algorithms, 2nd ed., section 3.1, for every order of
// adding; a fused multiply-add only saves a rounding. That speaks of
// sum(|q x|), which is at most |q| |x|. It leaves underflow out: absolute
// stands for that: 2^-126 for each multiplication and each addition, and as
// much again for what later roundings make of it. That is enough even where a
// library has told the processor to flush such values to 0.
// Where an intermediate result overflows, the last one is infinite or NaN.
//
// From n = 2^23 on, relative is infinite.
func Bound(n int) (relative, absolute float64) {
	const u = 0x1p-24
	nu := float64(n) * u
	if nu >= 0.5 {
		return math.Inf(1), math.Inf(1)
	}
	return nu / (1 - nu), 4 * float64(n) * 0x1p-126
}

// block is how many rows the assembly takes at a time.
const block = 4

// Dots sets dst[i] to the dot product of q with row i of rows, row-major, for
// all of dst; rows must be that long. k must be at most [Best].
func (k Kernel) Dots(dst, q, rows []float32) {
	dim := len(q)
	n := len(dst)
	rows = rows[:n*dim]
	if k == Portable || n < block || dim == 0 {
		portable(dst, q, rows)
		return
	}
	k.dots(dst, q, rows)
	if n%block != 0 { // the last rows again, among them those left out
		k.dots(dst[n-block:], q, rows[(n-block)*dim:])
	}
}

// Dots2 is [Kernel.Dots] for two queries of one length, and faster than twice
// that: it loads each row once.
func (k Kernel) Dots2(dst0, dst1, q0, q1, rows []float32) {
	dim := len(q0)
	n := len(dst0)
	rows, q1, dst1 = rows[:n*dim], q1[:dim], dst1[:n]
	if k == Portable || n < block || dim == 0 {
		portable(dst0, q0, rows)
		portable(dst1, q1, rows)
		return
	}
	k.dots2(dst0, dst1, q0, q1, rows)
	if n%block != 0 {
		k.dots2(dst0[n-block:], dst1[n-block:], q0, q1, rows[(n-block)*dim:])
	}
}

// portable is Dots in plain Go.
func portable(dst, q, rows []float32) {
	for i := range dst {
		dst[i] = dot(q, rows[i*len(q):(i+1)*len(q)])
	}
}

func dot(q, x []float32) float32 {
	const block = 16
	q = q[:len(x)]
	var s0, s1, s2, s3 float32
	for len(x) >= block {
		qb, xb := (*[block]float32)(q), (*[block]float32)(x)
		for i := 0; i < block; i += 4 {
			s0 += qb[i] * xb[i]
			s1 += qb[i+1] * xb[i+1]
			s2 += qb[i+2] * xb[i+2]
			s3 += qb[i+3] * xb[i+3]
		}
		q, x = q[block:], x[block:]
	}
	for i, v := range x {
		s0 += q[i] * v
	}
	return (s0 + s1) + (s2 + s3)
}
