// Package half widens the 16-bit floating-point numbers that models and their
// weights may be in.
package half

import "math"

// Float16 gives the value of an IEEE 754 binary16 number. It is exact.
func Float16(bits uint16) float32 {
	sign := uint32(bits&0x8000) << 16
	exponent, fraction := uint32(bits>>10&0x1f), uint32(bits&0x3ff)
	switch exponent {
	case 0: // zero, or a number without the hidden one
		v := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(v))
	case 0x1f: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// BFloat16 gives the value of a bfloat16 number: a float32's upper half.
func BFloat16(bits uint16) float32 { return math.Float32frombits(uint32(bits) << 16) }
