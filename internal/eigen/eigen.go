// Package eigen finds the eigenvalues of a symmetric matrix, and as many of
// its eigenvectors as are asked for.
//
// The matrix is made tridiagonal by reflections (G. W. Stewart, Matrix
// Algorithms II, section 3.1), a block of rows after the other: what is left to
// do for each row is a product with the matrix, of which one core reads a half.
// LAPACK's method without square roots finds the eigenvalues. A vector costs an
// inverse iteration with the tridiagonal matrix, and the reflections backwards;
// all cores share them. An iteration for the leading vectors alone (of subspaces,
// Lanczos') is no faster for some hundred of them, and has to be told how many;
// here all eigenvalues are known before.
//
// Sums are in one order, whatever the number of goroutines and the kernel.
package eigen

import (
	"errors"
	"math"
	"runtime"

	lapack "gonum.org/v1/gonum/lapack/gonum"

	"github.com/millrace-go/millrace/internal/parallel"
	"github.com/millrace-go/millrace/internal/simd"
)

// Symmetric is a symmetric matrix whose eigenvalues are known. It is for one
// goroutine.
type Symmetric struct {
	n      int
	kernel simd.Kernel
	// Row k of the matrix, rows being stride apart, holds right of the diagonal
	// the reflection that freed row k: I - scale[k] v v'.
	a         []float64
	stride    int // n in whole tiles; what is beyond n is 0
	scale     []float64
	diagonal  []float64 // of the tridiagonal matrix
	off       []float64 // beside it
	ascending []float64 // the eigenvalues
}

// Factorize takes a matrix of n x n values, of which it reads the upper half.
func Factorize(a []float64, n int, kernel simd.Kernel) (*Symmetric, error) {
	stride := (n + simd.Tile - 1) / simd.Tile * simd.Tile
	s := &Symmetric{
		n:        n,
		kernel:   kernel,
		a:        make([]float64, stride*stride),
		stride:   stride,
		scale:    make([]float64, n),
		diagonal: make([]float64, n),
		off:      make([]float64, max(n-1, 0)),
	}
	for i := range n {
		copy(s.row(i, i), a[i*n+i:(i+1)*n])
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

func (s *Symmetric) row(i, from int) []float64 { return s.a[i*s.stride+from : i*s.stride+s.n] }

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
	width := max(8*simd.Tile, (stride/runtime.GOMAXPROCS(0)+simd.Tile-1)/simd.Tile*simd.Tile)
	parallel.Each((stride+width-1)/width, func(part int) {
		from := part * width
		r := newReflector(s, min(width, stride-from))
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
