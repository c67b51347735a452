package half

import (
	"math"
	"testing"
)

// Every number, against the definition.
func TestFloat16(t *testing.T) {
	for i := range 1 << 16 {
		bits := uint16(i)
		exponent, fraction := int(bits>>10&0x1f), float64(bits&0x3ff)
		var want float64
		switch exponent {
		case 0:
			want = fraction / 1024 * math.Pow(2, -14)
		case 31:
			if want = math.Inf(1); fraction != 0 {
				want = math.NaN()
			}
		default:
			want = (1 + fraction/1024) * math.Pow(2, float64(exponent-15))
		}
		if bits>>15 == 1 {
			want = -want
		}
		got := float64(Float16(bits))
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) || !math.IsNaN(got) && math.Signbit(got) != (bits>>15 == 1) {
			t.Fatalf("%#04x: %g, want %g", bits, got, want)
		}
	}
}

func TestBFloat16(t *testing.T) {
	for bits, want := range map[uint16]float32{0: 0, 0x3f80: 1, 0xc000: -2, 0x3e80: 0.25, 0x4049: 3.140625} {
		if got := BFloat16(bits); got != want {
			t.Errorf("%#04x: %g, want %g", bits, got, want)
		}
	}
}
