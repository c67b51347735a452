package reduce

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/millrace-go/millrace/similarity/vector"
)

// PCAFitter learns a [PCA] from vectors as they come. It keeps their
// covariance and no vector: memory is 8 bytes x dimension squared.
//
// The zero PCAFitter is ready; the first vector fixes space and dimension. It
// is for one goroutine; several, a shard of the vectors each, can be merged.
type PCAFitter struct {
	space string
	dim   int
	count int

	// Everything is summed about shift, the mean of the first block: sums about
	// 0 of values far from 0 would lose the variance to rounding.
	shift    []float64
	sums     []float64 // dim: sum of x - shift
	products []float64 // dim x dim, upper half: sum of (x-shift)(x-shift)'

	block   []float64 // dim x blockRows, a column of the vectors in a row
	pending int       // vectors in the block
}

// blockRows is how many vectors are multiplied at once: long enough rows for
// the dot product's speed, and two of them stay in the nearest cache.
const blockRows = 256

// maxDim keeps a mistaken dimension from asking for a matrix of gigabytes.
const maxDim = 1 << 14

// Add learns from vectors, or from none of them if one is bad: not finite, or
// of another space or dimension than those before.
func (f *PCAFitter) Add(vs ...vector.Vector) error {
	if len(vs) == 0 {
		return nil
	}
	space, dim := f.space, f.dim
	if dim == 0 {
		space, dim = vs[0].Space, len(vs[0].Values)
	}
	for i, v := range vs {
		if err := v.CheckIn(space, dim); err != nil {
			return fmt.Errorf("reduce: vector %d: %w", i, err)
		}
	}
	if dim > maxDim {
		return fmt.Errorf("reduce: vectors of %d values: a PCA is fitted to at most %d", dim, maxDim)
	}
	if f.dim == 0 {
		f.space, f.dim = space, dim
		f.sums = make([]float64, dim)
		f.products = make([]float64, dim*dim)
		f.block = make([]float64, dim*blockRows)
	}
	for _, v := range vs {
		for i, x := range v.Values {
			f.block[i*blockRows+f.pending] = float64(x)
		}
		f.count++
		if f.pending++; f.pending == blockRows {
			f.flush()
		}
	}
	return nil
}

// Count is the number of vectors learnt from.
func (f *PCAFitter) Count() int { return f.count }

// flush moves the block into the sums.
func (f *PCAFitter) flush() {
	if f.pending == 0 {
		return
	}
	column := func(i int) []float64 { return f.block[i*blockRows : i*blockRows+f.pending] }
	if f.shift == nil {
		f.shift = make([]float64, f.dim)
		for i := range f.dim {
			f.shift[i] = floats.Sum(column(i)) / float64(f.pending)
		}
	}
	for i := range f.dim {
		c := column(i)
		floats.AddConst(-f.shift[i], c)
		f.sums[i] += floats.Sum(c)
	}
	// Every element is summed by one goroutine in one order: the result does
	// not depend on how many there are.
	workers := min(runtime.GOMAXPROCS(0), f.dim)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < f.dim; i += workers {
				ci, row := column(i), f.products[i*f.dim:(i+1)*f.dim]
				for j := i; j < f.dim; j++ {
					row[j] += floats.Dot(ci, column(j))
				}
			}
		})
	}
	wg.Wait()
	f.pending = 0
}

// Merge adds what other has learnt, as if f had been given its vectors too;
// other stays as it is. Fitters of two spaces or dimensions are an error.
func (f *PCAFitter) Merge(other *PCAFitter) error {
	if f == other {
		return errors.New("reduce: a PCAFitter cannot be merged with itself")
	}
	if other.count == 0 {
		return nil
	}
	if f.count > 0 && f.space != other.space {
		return fmt.Errorf("reduce: merging: %w", &vector.SpaceError{Got: other.space, Want: f.space})
	}
	if f.count > 0 && f.dim != other.dim {
		return fmt.Errorf("reduce: merging: %w", &vector.DimensionError{Got: other.dim, Want: f.dim})
	}
	other.flush()
	if f.count == 0 {
		f.space, f.dim = other.space, other.dim
		f.shift = append([]float64(nil), other.shift...)
		f.sums = make([]float64, f.dim)
		f.products = make([]float64, f.dim*f.dim)
		f.block = make([]float64, f.dim*blockRows)
	}
	f.flush()
	// With e = other's shift - f's, x - shift = (x - other.shift) + e, so the
	// products about f's shift are P + s e' + e s' + n e e'.
	n := float64(other.count)
	e := make([]float64, f.dim)
	floats.SubTo(e, other.shift, f.shift)
	for i := range f.dim {
		for j := i; j < f.dim; j++ {
			at := i*f.dim + j
			f.products[at] += other.products[at] + other.sums[i]*e[j] + e[i]*other.sums[j] + n*e[i]*e[j]
		}
	}
	for i := range f.dim {
		f.sums[i] += other.sums[i] + n*e[i]
	}
	f.count += other.count
	return nil
}

// Fit makes the PCA of what was added so far, with the given number of
// components. It needs at least two vectors, and components no more than the
// vectors or their values. For several sizes, fit the largest and
// [PCA.Truncate] it: the work is in the eigenvectors. More vectors may be
// added after.
//
// Signs are as in scikit-learn since 1.5: in each component, the entry of
// largest absolute value is positive, so that two fits of the same vectors agree.
func (f *PCAFitter) Fit(components int) (*PCA, error) {
	switch {
	case components < 1:
		return nil, fmt.Errorf("reduce: %d components: ask for at least 1", components)
	case f.count < 2:
		return nil, fmt.Errorf("reduce: a PCA needs at least 2 vectors, got %d", f.count)
	case components > f.dim:
		return nil, fmt.Errorf("reduce: %d components of vectors of %d values: there are no more than %d", components, f.dim, f.dim)
	case components > f.count:
		return nil, fmt.Errorf("reduce: %d components from %d vectors: too few vectors", components, f.count)
	}
	f.flush()

	n := float64(f.count)
	mean := make([]float64, f.dim)
	covariance := mat.NewSymDense(f.dim, nil)
	for i := range f.dim {
		mean[i] = f.shift[i] + f.sums[i]/n
		for j := i; j < f.dim; j++ {
			covariance.SetSym(i, j, (f.products[i*f.dim+j]-f.sums[i]*f.sums[j]/n)/(n-1))
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(covariance, true) {
		return nil, errors.New("reduce: the covariance's eigenvectors were not found")
	}
	values := eigen.Values(nil) // ascending
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)

	p := &PCA{
		inputSpace: f.space,
		dim:        f.dim,
		count:      f.count,
		mean:       mean,
		variance:   make([]float64, components),
		rows:       make([]float64, components*f.dim),
		total:      mat.Trace(covariance),
	}
	for k := range components {
		column := f.dim - 1 - k
		p.variance[k] = max(values[column], 0) // rounding makes the last ones negative
		row := p.rows[k*f.dim : (k+1)*f.dim]
		mat.Col(row, column, &vectors)
		turn(row)
	}
	p.space = p.deriveSpace()
	return p, nil
}

// turn gives a component its sign.
func turn(component []float64) {
	var largest float64
	for _, x := range component {
		if math.Abs(x) > math.Abs(largest) {
			largest = x
		}
	}
	if largest < 0 {
		floats.Scale(-1, component)
	}
}
