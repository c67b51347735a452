package simd

import "math"

const (
	// Columns is how many columns a panel of [Kernel.Products] has.
	Columns = 16
	// run is how many products are added in float32 before their sum is added
	// in float64: so many that this takes little of the time, and so few that
	// roundings stay small.
	run = 128
)

// Square is how many values a'b of two panels has.
const Square = Columns * Columns

// Products adds unit a'b to c, for each of the panels of b: as many squares of
// [Columns] rows and columns. All panels and squares stand one after the other. A
// panel has Columns values a row, and nothing between them; a is one, and b's have
// as many rows.
//
// Values are multiplied and added in float32, 128 rows one after the other, fused;
// such sums, times unit, are added in float64. So each of them is within gamma(128)
// of what it should be, of the sum of its products' sizes (see [Bound]), and all
// kernels give the same bits. k must be at most [Best].
func (k Kernel) Products(c []float64, a, b []float32, unit float64) {
	if len(a) < Columns {
		return
	}
	for p := 0; p+len(a) <= len(b); p += len(a) {
		square := (*[Square]float64)(c[p/len(a)*Square:])
		for first := 0; first < len(a); first += run * Columns {
			end := min(first+run*Columns, len(a))
			if k == Portable {
				portableProduct(square, a[first:end], b[p+first:p+end], unit)
			} else {
				k.product(square, a[first:end], b[p+first:p+end], unit)
			}
		}
	}
}

// Center makes of a row x, of whole panels, less shift, the row of as many panels of
// to, which begin step values apart. It adds to sums what each value less its shift
// is in float64, and to largest, the largest sizes in each column, those of this row.
//
// ahead, as long as x, is brought into the cache meanwhile: where rows are long, no
// processor sees by itself what comes next. k must be at most [Best].
func (k Kernel) Center(to []float32, step int, x, shift []float32, sums []float64, largest, ahead []float32) {
	count := len(x) / Columns
	if count == 0 {
		return
	}
	n := count * Columns
	to, shift, sums, largest, ahead = to[:(count-1)*step+Columns], shift[:n], sums[:n], largest[:n], ahead[:n]
	if k == Portable {
		portableCenter(to, step, x, shift, sums, largest)
		return
	}
	k.center(to, step, x, shift, sums, largest, ahead)
}

func portableCenter(to []float32, step int, x, shift []float32, sums []float64, largest []float32) {
	for i, s := range shift {
		d := x[i] - s
		to[i/Columns*step+i%Columns] = d
		sums[i] += float64(x[i]) - float64(s)
		largest[i] = max(largest[i], max(d, -d))
	}
}

// portableProduct adds a run's products.
func portableProduct(c *[Square]float64, a, b []float32, unit float64) {
	for i := range Columns {
		var sums [Columns]float32
		for at := 0; at < len(a); at += Columns {
			v := a[at+i]
			for j, w := range (*[Columns]float32)(b[at:]) {
				sums[j] = fma32(v, w, sums[j])
			}
		}
		to := (*[Columns]float64)(c[i*Columns:])
		for j, sum := range sums {
			to[j] += unit * float64(sum)
		}
	}
}

// roundedOnce is v w + s in float32. The product is exact in float64; rounding the
// sum there, and then to float32, is rounding once but where the first one ends
// half way between two float32. Then, and where float32 have fewer bits, the sum's
// last bit is made 1 if anything was lost of it, so that the second rounding does
// what it would do with the true sum (S. Boldo and G. Melquiond, Emulation of a FMA
// and correctly rounded sums: proved algorithms using rounding to odd).
func roundedOnce(v, w, s float32) float32 {
	const below, half = 1<<29 - 1, 1 << 28 // the bits that float32 has not
	a, b := float64(v)*float64(w), float64(s)
	sum := a + b
	bits := math.Float64bits(sum)
	if bits&below != half && math.Abs(sum) >= 0x1p-126 {
		return float32(sum)
	}
	back := sum - a
	lost := (a - (sum - back)) + (b - back)
	if bits&1 == 0 && lost != 0 && lost == lost {
		if (lost > 0) == (sum > 0) {
			sum = math.Float64frombits(bits + 1)
		} else {
			sum = math.Float64frombits(bits - 1)
		}
	}
	return float32(sum)
}
