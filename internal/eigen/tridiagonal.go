package eigen

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/millrace-go/millrace/internal/parallel"
	"github.com/millrace-go/millrace/internal/simd"
)

// block is how many rows are freed before the rest of the matrix changes: so
// many that it seldom has to be read and written, and so few that what they do to
// it stays near.
const block = 32

// tridiagonalize frees row after row of all right of the diagonal but one
// value, by reflections from both sides: A - v w' - w v'. The changes of a block
// of rows are made at once, and until then are allowed for in each product with A
// (J. J. Dongarra, S. J. Hammarling and D. C. Sorensen, Block Reduction of
// Matrices to Condensed Forms for Eigenvalue Computations).
func (s *Symmetric) tridiagonalize() {
	n, stride := s.n, s.stride
	changes := make([]float64, 2*block*stride) // v, w, the next v, ...
	factors, second := make([]float64, 2*block), make([]float64, stride)
	for k := range n {
		count := k % block * 2
		if count == 0 && k > 0 {
			s.change(changes, k)
		}
		left := k &^ (simd.Tile - 1) // what is left of the diagonal is anything
		for t := range count {
			factors[t] = -changes[(t^1)*stride+k]
		}
		s.kernel.AddRows(s.a[k*stride+left:(k+1)*stride], factors[:count], changes[left:], stride)
		row := s.row(k, k)
		s.diagonal[k] = row[0]
		if k == n-1 {
			return
		}
		s.off[k], s.scale[k] = reflection(row[1:])
		v, w := changes[count*stride:(count+1)*stride], changes[(count+1)*stride:(count+2)*stride]
		clear(v[:k+1])
		copy(v[k+1:], row[1:])
		s.multiply(w, second, v, k+1)
		for t := range count {
			factors[t] = -floats.Dot(changes[(t^1)*stride+k+1:][:n-k-1], v[k+1:n])
		}
		s.kernel.AddRows(w[left:], factors[:count], changes[left:], stride)
		clear(w[:k+1])
		floats.Scale(s.scale[k], w[k+1:])
		s.kernel.AddScaled(w[k+1:], -s.scale[k]/2*floats.Dot(v[k+1:], w[k+1:]), v[k+1:])
	}
}

// multiply makes y the product of A's rows and columns from first on with x, which
// is 0 before. Before first, y is anything. Where that is worth a second goroutine,
// each takes half of the values, whatever the number of cores; second is as long as
// y, for the lower half's products.
func (s *Symmetric) multiply(y, second, x []float64, first int) {
	const worth = 256
	if s.n-first < worth {
		clear(y)
		s.multiplyRows(y, x, first, s.n)
		return
	}
	middle := (s.n - int(math.Sqrt(0.5)*float64(s.n-first))) &^ (simd.PairRows - 1)
	parallel.Each(2, func(half int) {
		if half == 0 {
			clear(y)
			s.multiplyRows(y, x, first, middle)
		} else {
			clear(second)
			s.multiplyRows(second, x, middle, s.n)
		}
	})
	for i, v := range second[middle:] {
		y[middle+i] += v
	}
}

// multiplyRows adds to y what the rows from first to end add to the product. It
// reads the upper half, four rows at a time.
func (s *Symmetric) multiplyRows(y, x []float64, first, end int) {
	const rows = simd.PairRows
	for i := first &^ (rows - 1); i < end; i += rows {
		var sums [rows]float64
		for r := range rows {
			row := s.a[(i+r)*s.stride+i:][:rows]
			sums[r] = math.FMA(row[r], x[i+r], sums[r])
			for c := r + 1; c < rows; c++ {
				sums[r] = math.FMA(row[c], x[i+c], sums[r])
				sums[c] = math.FMA(row[c], x[i+r], sums[c])
			}
		}
		right := i + rows
		if right < s.stride {
			s.kernel.Pair(&sums, y[right:], s.a[i*s.stride+right:], s.stride, x[i:right], x[right:])
		}
		for r, sum := range sums {
			y[i+r] += sum
		}
	}
}

// change makes the changes of a block in the rows and columns from first on.
func (s *Symmetric) change(changes []float64, first int) {
	const strip = 4 * simd.Tile
	stride, n := s.stride, s.n
	factors := make([]float64, (n-first)*2*block)
	for t := range 2 * block {
		for i, x := range changes[(t^1)*stride+first : (t^1)*stride+n] {
			factors[i*2*block+t] = -x
		}
	}
	left := first &^ (strip - 1)
	count := (stride - left + strip - 1) / strip
	parallel.Each(count, func(i int) {
		from := left + (count-1-i)*strip // the longest first
		to := min(from+strip, stride)
		for r := first; r < min(to, n); r++ {
			s.kernel.AddRows(s.a[r*stride+from:r*stride+to], factors[(r-first)*2*block:(r-first+1)*2*block], changes[from:], stride)
		}
	})
}

// reflection makes x the vector v, v[0] = 1, whose reflection I - scale v v'
// turned x into first, 0, 0...
func reflection(x []float64) (first, scale float64) {
	rest := length(x[1:])
	if rest < 1e-290 { // 0, or what rounding left of it: one divided by it might overflow
		clear(x[1:])
		first, x[0] = x[0], 1
		return first, 0
	}
	first = -math.Copysign(math.Hypot(x[0], rest), x[0])
	scale = (first - x[0]) / first
	floats.Scale(1/(x[0]-first), x[1:])
	x[0] = 1
	return first, scale
}

// length is the Euclidean one; the slow way where squares might be too large or
// too small.
func length(x []float64) float64 {
	if sum := floats.Dot(x, x); sum > 1e-200 && sum < 1e200 {
		return math.Sqrt(sum)
	}
	return floats.Norm(x, 2)
}
