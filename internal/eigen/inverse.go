package eigen

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"

	"github.com/millrace-go/millrace/internal/parallel"
)

const epsilon = 0x1p-52

// inverseIterations finds the eigenvectors of the tridiagonal matrix: solving
// with T - value I, which is all but singular, makes any vector turn towards
// the value's eigenvector. Where values are close, what is found is cleared of
// the vectors found before.
func (s *Symmetric) inverseIterations(count int) ([]float64, error) {
	n := s.n
	norm := 0.0
	for i, d := range s.diagonal {
		sum := math.Abs(d)
		if i > 0 {
			sum += math.Abs(s.off[i-1])
		}
		if i < n-1 {
			sum += math.Abs(s.off[i])
		}
		norm = max(norm, sum)
	}
	if norm == 0 {
		norm = 1 // all is 0, and every vector an eigenvector
	}
	var clusters []int // where values that are close begin
	for i := range count {
		if i == 0 || s.Value(i-1)-s.Value(i) >= 1e-6*norm {
			clusters = append(clusters, i)
		}
	}
	vectors := make([]float64, count*n)
	errs := make([]error, len(clusters))
	parallel.Each(len(clusters), func(c int) {
		first, end := clusters[c], count
		if c+1 < len(clusters) {
			end = clusters[c+1]
		}
		lu, spare := newFactors(n), make([]float64, n)
		for i := first; i < end && errs[c] == nil; i++ {
			x, near := vectors[i*n:(i+1)*n], vectors[first*n:i*n]
			if !s.iterate(x, near, i, norm, lu, spare) {
				errs[c] = fmt.Errorf("eigen: the vector of eigenvalue %d was not found", i)
			}
		}
	})
	return vectors, errors.Join(errs...)
}

// iterate makes x the vector of eigenvalue i, orthogonal to those near.
func (s *Symmetric) iterate(x, near []float64, i int, norm float64, lu *factors, spare []float64) bool {
	value := s.Value(i)
	lu.factorize(s.diagonal, s.off, value, norm)
	rng := rand.New(rand.NewPCG(1, uint64(i))) // any beginning will do, but always the same
	for range 5 {
		for j := range x {
			x[j] = rng.Float64() - 0.5
		}
		clearOf(x, near)
		for range 3 {
			floats.Scale(epsilon*norm, x)
			lu.solve(x)
			clearOf(x, near)
		}
		clearOf(x, near) // once more does away with what rounding left
		if s.residual(x, value, spare) <= 1e-12*norm {
			return true
		}
	}
	return false
}

// clearOf makes x a unit vector orthogonal to the unit vectors in near.
func clearOf(x, near []float64) {
	floats.Scale(1/length(x), x)
	for at := 0; at < len(near); at += len(x) {
		v := near[at : at+len(x)]
		floats.AddScaled(x, -floats.Dot(x, v), v)
	}
	floats.Scale(1/length(x), x)
}

// residual is the length of T x - value x; infinite where x is not finite.
func (s *Symmetric) residual(x []float64, value float64, y []float64) float64 {
	for i := range y {
		y[i] = (s.diagonal[i] - value) * x[i]
		if i > 0 {
			y[i] += s.off[i-1] * x[i-1]
		}
		if i < len(x)-1 {
			y[i] += s.off[i] * x[i+1]
		}
	}
	if r := length(y); r == r {
		return r
	}
	return math.Inf(1)
}

// factors are L and U of a tridiagonal matrix, with rows exchanged so that no
// multiplier is above 1.
type factors struct {
	u0, u1, u2 []float64 // the diagonal of U, and what is right of it
	multiplier []float64
	exchanged  []bool
}

func newFactors(n int) *factors {
	return &factors{make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]bool, n)}
}

// factorize takes T - value I. A pivot of 0 becomes a rounding error of norm.
func (f *factors) factorize(diagonal, off []float64, value, norm float64) {
	n := len(diagonal)
	a, b := diagonal[0]-value, 0.0 // the row that is left over: a, b, 0
	if n > 1 {
		b = off[0]
	}
	for i := range n - 1 {
		below, middle, right := off[i], diagonal[i+1]-value, 0.0
		if i < n-2 {
			right = off[i+1]
		}
		f.exchanged[i] = math.Abs(below) > math.Abs(a)
		if f.exchanged[i] {
			m := a / below
			f.multiplier[i], f.u0[i], f.u1[i], f.u2[i] = m, below, middle, right
			a, b = b-m*middle, -m*right
			continue
		}
		m := 0.0
		if a != 0 {
			m = below / a
		}
		f.multiplier[i], f.u0[i], f.u1[i], f.u2[i] = m, a, b, 0
		a, b = middle-m*b, right
	}
	f.u0[n-1], f.u1[n-1], f.u2[n-1] = a, 0, 0
	for i, u := range f.u0 {
		if math.Abs(u) < epsilon*norm {
			f.u0[i] = math.Copysign(epsilon*norm, u)
		}
	}
}

// solve solves for x, in place.
func (f *factors) solve(x []float64) {
	n := len(x)
	for i := range n - 1 {
		if f.exchanged[i] {
			x[i], x[i+1] = x[i+1], x[i]
		}
		x[i+1] -= f.multiplier[i] * x[i]
	}
	for i := n - 1; i >= 0; i-- {
		if i < n-1 {
			x[i] -= f.u1[i] * x[i+1]
		}
		if i < n-2 {
			x[i] -= f.u2[i] * x[i+2]
		}
		x[i] /= f.u0[i]
	}
}
