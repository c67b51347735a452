// Package eigen finds the eigenvalues of a symmetric matrix, and as many of
// its eigenvectors as are asked for.
//
// The matrix is made tridiagonal by reflections (G. W. Stewart, Matrix
// Algorithms II, section 3.1), whose eigenvalues LAPACK's method without square
// roots finds; a vector costs an inverse iteration with the tridiagonal matrix,
// and the reflections backwards. An iteration for the leading vectors alone (of
// subspaces, Lanczos') is no faster for some hundred of them, and has to be told
// how many; here all eigenvalues are known before.
//
// Sums are in one order, whatever the number of goroutines and the kernel.
package eigen

import (
	"errors"
	"math"
	"runtime"
	"sync"

	"gonum.org/v1/gonum/floats"
	lapack "gonum.org/v1/gonum/lapack/gonum"

	"github.com/millrace-go/millrace/internal/simd"
)

// Symmetric is a symmetric matrix whose eigenvalues are known. It is for one
// goroutine.
type Symmetric struct {
	n      int
	kernel simd.Kernel
	// Row k of the matrix holds, right of the diagonal, the reflection that
	// freed row k: I - scale[k] v v'.
	a         []float64
	scale     []float64
	diagonal  []float64 // of the tridiagonal matrix
	off       []float64 // beside it
	ascending []float64 // the eigenvalues
}

// Factorize takes a matrix of n x n values, all of them, which becomes its own.
func Factorize(a []float64, n int, kernel simd.Kernel) (*Symmetric, error) {
	s := &Symmetric{
		n:        n,
		kernel:   kernel,
		a:        a,
		scale:    make([]float64, n),
		diagonal: make([]float64, n),
		off:      make([]float64, max(n-1, 0)),
	}
	s.tridiagonalize()
	s.ascending = append([]float64(nil), s.diagonal...)
	off := append([]float64(nil), s.off...)
	for _, x := range s.ascending {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, errors.New("eigen: the matrix is not finite, or its values are too large")
		}
	}
	if !(lapack.Implementation{}).Dsterf(n, s.ascending, off) {
		return nil, errors.New("eigen: the eigenvalues were not found")
	}
	return s, nil
}

// Value is the i-th largest eigenvalue, from 0.
func (s *Symmetric) Value(i int) float64 { return s.ascending[s.n-1-i] }

func (s *Symmetric) row(i, from int) []float64 { return s.a[i*s.n+from : (i+1)*s.n] }

// tridiagonalize frees row after row of all right of the diagonal but one
// value, by reflections from both sides: A - v w' - w v'. The change is made in
// the next step, on the way to that step's product with A, so that the matrix
// goes through the processor once a step.
func (s *Symmetric) tridiagonalize() {
	n := s.n
	v, w := make([]float64, n), make([]float64, n) // the last step's
	nextV, nextW := make([]float64, n), make([]float64, n)
	nowhere := make([]float64, n)
	for k := range n {
		row := s.row(k, k)
		s.kernel.Update(row, -v[k], w[k:], -w[k], v[k:], 0, nowhere[k:])
		s.diagonal[k] = row[0]
		if k == n-1 {
			return
		}
		m := n - k - 1
		s.off[k], s.scale[k] = reflection(row[1:])
		copy(nextV[k+1:], row[1:])
		clear(nextW[k+1:])
		split(m, func(from, to int) {
			from, to = from+k+1, to+k+1
			for i := k + 1; i < n; i++ {
				s.kernel.Update(s.a[i*n+from:i*n+to], -v[i], w[from:to], -w[i], v[from:to], nextV[i], nextW[from:to])
			}
		})
		x, y := nextV[k+1:], nextW[k+1:]
		floats.Scale(s.scale[k], y)
		floats.AddScaled(y, -s.scale[k]/2*floats.Dot(x, y), x)
		v, w, nextV, nextW = nextV, nextW, v, w
	}
}

// reflection makes x the vector v, v[0] = 1, whose reflection I - scale v v'
// turned x into first, 0, 0...
func reflection(x []float64) (first, scale float64) {
	rest := floats.Norm(x[1:], 2)
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

// Vectors gives the unit eigenvectors of the largest count eigenvalues, one a
// row of n values. A smaller count gives the first of the same vectors.
func (s *Symmetric) Vectors(count int) ([]float64, error) {
	n := s.n
	vectors, err := s.inverseIterations(count)
	if err != nil {
		return nil, err
	}
	// Turned on their side, the vectors are the lanes of the sums below.
	stride := (count + simd.Tile - 1) / simd.Tile * simd.Tile
	columns := make([]float64, n*stride)
	for i := range count {
		for j := range n {
			columns[j*stride+i] = vectors[i*n+j]
		}
	}
	split(stride, func(from, to int) {
		r := newReflector(s, to-from)
		last := (n - 2) / simd.Tile * simd.Tile
		for k := last; k >= 0 && n > 1; k -= simd.Tile {
			r.reflect(k, columns[from:], stride)
		}
	})
	for i := range count {
		for j := range n {
			vectors[i*n+j] = columns[j*stride+i]
		}
	}
	return vectors, nil
}

// split runs f on parts of 0 to n, at once where there is enough to do.
func split(n int, f func(from, to int)) {
	const least = 64
	parts := min(runtime.GOMAXPROCS(0), n/least)
	if parts < 2 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	at := func(part int) int {
		if part == parts {
			return n
		}
		return part * n / parts &^ (simd.Tile - 1)
	}
	for part := 1; part < parts; part++ {
		wg.Go(func() { f(at(part), at(part+1)) })
	}
	f(0, at(1))
	wg.Wait()
}
