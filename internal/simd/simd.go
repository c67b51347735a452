// Package simd compares queries with rows and sums products, with the instructions
// of the processor it runs on, and says how wrong what is in float32 may be.
package simd

import "math"

// Kernel is a way to compute. Those of an architecture are numbered from 1, and
// a processor that has one has those before it too.
type Kernel uint8

// Portable is plain Go.
const Portable Kernel = 0

// String is the kernel's name.
func (k Kernel) String() string {
	if k == Portable {
		return "portable"
	}
	return k.name()
}

// Bound tells how far a dot product of n values from [Kernel.Scan] may be from
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
