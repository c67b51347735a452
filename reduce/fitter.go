package reduce

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/millrace-go/millrace/internal/eigen"
	"github.com/millrace-go/millrace/internal/parallel"
	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
)

// PCAFitter learns a [PCA] from vectors as they come. It keeps their
// covariance and no vector: memory is 4 bytes x dimension squared, and 6 kB x
// dimension for vectors that are not yet in it.
//
// Values less a mean are rounded to float32, and their products summed so for 128
// vectors; all else is in float64. That leaves the variances errors of less than
// 1e-6 of the largest one, and turns components by as much over the gap between
// their variance and the next: for 30,445 vectors of 768 values, 4e-7 at most in
// the values of 150 components.
//
// The zero PCAFitter is ready; the first vector fixes space and dimension. It
// is for one goroutine; several, a shard of the vectors each, can be merged.
//
// Sums are in one order: the same vectors in the same order give the same PCA to
// the last bit, on any number of cores and with any kernel of an architecture.
type PCAFitter struct {
	space string
	dim   int
	count int

	// Everything is summed about shift, the mean of the first block: sums about
	// 0 of values far from 0 would lose the variance to rounding. Beyond dim, in
	// the last panel, all is 0.
	shift    []float32 // stride
	sums     []float64 // stride: sum of x - shift
	products []float64 // sum of (x-shift)(x-shift)': the upper half, in squares of two panels, row after row

	block   []float32 // blockRows x dim, the vectors that are not yet in the sums
	pending int       // how many they are

	// Two blocks as the kernel wants them, in panels of simd.Columns columns of all
	// vectors: while one is multiplied, the next one is made.
	panels [2]panels
}

// panels are a block's vectors less the shift, times a power of two for each
// panel, so that no product is too large or too small for a float32.
type panels struct {
	values []float32 // panel after panel
	rows   int
	scales []float64 // a panel
}

// blockRows is how many vectors are multiplied at once: so many that waiting for
// each other between blocks takes little of the time, and so few that two panels
// are near.
const blockRows = 512

// group is how many panels are made at once: so many that the values of a vector
// come from memory one after the other, and so few that all cores have some.
const group = 4

// rowsAhead is how many vectors before its turn one is asked for: about as long as
// memory takes to answer.
const rowsAhead = 8

// maxDim keeps a mistaken dimension from asking for a matrix of gigabytes.
const maxDim = 1 << 14

// stride is the dimension in whole panels.
func (f *PCAFitter) stride() int { return (f.dim + simd.Columns - 1) / simd.Columns * simd.Columns }

// square is where the products of panel i with itself begin; those with the next
// ones follow.
func (f *PCAFitter) square(i int) int {
	count := f.stride() / simd.Columns
	return (i*count - i*(i-1)/2) * simd.Square
}

// at is the product of columns i and j, i <= j.
func (f *PCAFitter) at(i, j int) *float64 {
	const columns = simd.Columns
	return &f.products[f.square(i/columns)+(j/columns-i/columns)*simd.Square+i%columns*columns+j%columns]
}

// start sets space and dimension.
func (f *PCAFitter) start(space string, dim int) {
	f.space, f.dim = space, dim
	f.sums = make([]float64, f.stride())
	f.products = make([]float64, f.square(f.stride()/simd.Columns))
	for i := range f.panels {
		f.panels[i] = panels{values: make([]float32, blockRows*f.stride()), scales: make([]float64, f.stride()/simd.Columns)}
	}
}

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
	if err := checkAll(vs, space, dim); err != nil {
		return err
	}
	if dim > maxDim {
		return fmt.Errorf("reduce: vectors of %d values: a PCA is fitted to at most %d", dim, maxDim)
	}
	if f.dim == 0 {
		f.start(space, dim)
	}
	f.count += len(vs)
	for len(vs) > 0 {
		if whole := len(vs) / blockRows * blockRows; f.pending == 0 && whole > 0 { // without a copy
			f.sum(vs[:whole])
			vs = vs[whole:]
			continue
		}
		if f.block == nil {
			f.block = make([]float32, blockRows*dim)
		}
		copy(f.block[f.pending*dim:], vs[0].Values)
		if f.pending++; f.pending == blockRows {
			f.flush()
		}
		vs = vs[1:]
	}
	return nil
}

// checkAll tells what is wrong with the first bad vector.
func checkAll(vs []vector.Vector, space string, dim int) error {
	const some = 256
	errs := make([]error, (len(vs)+some-1)/some)
	parallel.Each(len(errs), func(part int) {
		for i, v := range vs[part*some : min(part*some+some, len(vs))] {
			if err := v.CheckIn(space, dim); err != nil {
				errs[part] = fmt.Errorf("reduce: vector %d: %w", part*some+i, err)
				return
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
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
	rows := make([]vector.Vector, f.pending)
	for r := range rows {
		rows[r].Values = f.block[r*f.dim : (r+1)*f.dim]
	}
	f.pending = 0
	f.sum(rows)
}

// sum adds vectors to the sums, a block at a time.
func (f *PCAFitter) sum(vs []vector.Vector) {
	if f.shift == nil {
		f.shift = make([]float32, f.stride())
		first := vs[:min(blockRows, len(vs))]
		mean := make([]float64, f.dim)
		for _, v := range first {
			for i, x := range v.Values {
				mean[i] += float64(x)
			}
		}
		for i, sum := range mean {
			f.shift[i] = float32(sum / float64(len(first)))
		}
	}
	// Every value is summed by one goroutine: nothing depends on how many there are.
	now, next, kernel := &f.panels[0], &f.panels[1], simd.Best()
	count := len(now.scales)
	for now.rows = 0; len(vs) > 0 || now.rows > 0; now, next = next, now {
		rows := vs[:min(blockRows, len(vs))]
		vs, next.rows = vs[len(rows):], len(rows)
		parallel.Each(count+(count+group-1)/group, func(i int) {
			if i >= count {
				first := (i - count) * group
				f.fill(next, first, min(first+group, count), rows)
				return
			}
			a := now.of(i)
			for p := i; p < count; p++ {
				kernel.Products(f.products[f.square(i)+(p-i)*simd.Square:], a, now.of(p), 1/(now.scales[i]*now.scales[p]))
			}
		})
	}
}

// of is panel i.
func (p *panels) of(i int) []float32 {
	return p.values[i*p.rows*simd.Columns : (i+1)*p.rows*simd.Columns]
}

// fill makes the panels of rows from first to end, and their sums.
func (f *PCAFitter) fill(to *panels, first, end int, rows []vector.Vector) {
	const columns = simd.Columns
	kernel := simd.Best()
	from, width := first*columns, (end-first)*columns
	shift, sums := f.shift[from:][:width], f.sums[from:][:width]
	largest := make([]float32, width)
	filledUp := make([]float32, width) // for vectors that do not fill the last panel
	for r, v := range rows {
		x, ahead := v.Values[from:], rows[min(r+rowsAhead, len(rows)-1)].Values[from:]
		if len(x) < width {
			copy(filledUp, x)
			x, ahead = filledUp, filledUp
		}
		kernel.Center(to.values[(first*to.rows+r)*columns:], to.rows*columns, x[:width], shift, sums, largest, ahead)
	}
	for p := first; p < end; p++ {
		to.scales[p] = 1
		if size := slices.Max(largest[(p-first)*columns:][:columns]); size != 0 && (size < 0x1p-30 || size > 0x1p30) {
			f.rescale(to, p, rows)
		}
	}
}

// rescale makes a panel whose values are too large or too small.
func (f *PCAFitter) rescale(to *panels, p int, rows []vector.Vector) {
	first := p * simd.Columns
	end := min(first+simd.Columns, f.dim)
	difference := func(v vector.Vector, i int) float64 { return float64(v.Values[i]) - float64(f.shift[i]) }
	var largest float64
	for _, v := range rows {
		for i := first; i < end; i++ {
			largest = max(largest, math.Abs(difference(v, i)))
		}
	}
	_, exponent := math.Frexp(largest)
	to.scales[p] = math.Ldexp(1, -exponent)
	for r, v := range rows {
		row := to.of(p)[r*simd.Columns:]
		for i := first; i < end; i++ {
			row[i-first] = float32(difference(v, i) * to.scales[p])
		}
	}
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
		f.start(other.space, other.dim)
		f.shift = slices.Clone(other.shift)
	}
	f.flush()
	// With e = other's shift - f's, x - shift = (x - other.shift) + e, so the
	// products about f's shift are P + s e' + e s' + n e e'.
	n := float64(other.count)
	e := make([]float64, f.dim)
	for i := range e {
		e[i] = float64(other.shift[i]) - float64(f.shift[i])
	}
	for i := range f.dim {
		for j := i; j < f.dim; j++ {
			*f.at(i, j) += *other.at(i, j) + other.sums[i]*e[j] + e[i]*other.sums[j] + n*e[i]*e[j]
		}
	}
	for i := range f.dim {
		f.sums[i] += other.sums[i] + n*e[i]
	}
	f.count += other.count
	return nil
}

// Fit makes the PCA of what was added so far, with the given number of
// components. It needs at least two vectors that are not equal, and components
// no more than the vectors or their values. For several sizes, fit the largest
// and [PCA.Truncate] it. More vectors may be added after.
//
// Signs are as in scikit-learn since 1.5: in each component, the entry of
// largest absolute value is positive, so that two fits of the same vectors agree.
func (f *PCAFitter) Fit(components int) (*PCA, error) {
	if components < 1 {
		return nil, fmt.Errorf("reduce: %d components: ask for at least 1", components)
	}
	p, e, err := f.prepare()
	if err != nil {
		return nil, err
	}
	if components > f.dim {
		return nil, fmt.Errorf("reduce: %d components of vectors of %d values: there are no more than %d", components, f.dim, f.dim)
	}
	if components > f.count {
		return nil, fmt.Errorf("reduce: %d components from %d vectors: too few vectors", components, f.count)
	}
	return p, p.take(e, components)
}

// FitVariance is [PCAFitter.Fit] with as few components as together keep more
// than a fraction of the variance, as scikit-learn's n_components below 1:
// above 0, below 1.
func (f *PCAFitter) FitVariance(fraction float64) (*PCA, error) {
	if !(fraction > 0 && fraction < 1) {
		return nil, fmt.Errorf("reduce: a fraction of %v of the variance: ask for one above 0 and below 1", fraction)
	}
	p, e, err := f.prepare()
	if err != nil {
		return nil, err
	}
	components, kept := 0, 0.0
	for most := min(f.dim, f.count); components < most && kept/p.total <= fraction; components++ {
		kept += max(e.Value(components), 0)
	}
	return p, p.take(e, components)
}

// prepare gives a PCA without its components, and the covariance's eigenvalues.
func (f *PCAFitter) prepare() (*PCA, *eigen.Symmetric, error) {
	if f.count < 2 {
		return nil, nil, fmt.Errorf("reduce: a PCA needs at least 2 vectors, got %d", f.count)
	}
	f.flush()
	n := float64(f.count)
	p := &PCA{inputSpace: f.space, dim: f.dim, count: f.count, mean: make([]float64, f.dim)}
	covariance := make([]float64, f.dim*f.dim) // its upper half
	for i := range f.dim {
		p.mean[i] = float64(f.shift[i]) + f.sums[i]/n
		for j := i; j < f.dim; j++ {
			covariance[i*f.dim+j] = (*f.at(i, j) - f.sums[i]*f.sums[j]/n) / (n - 1)
		}
		p.total += covariance[i*f.dim+i]
	}
	// Of equal vectors only the rounding of their mean is left.
	if rounding := blockRows * 0x1p-52 * floats.Norm(p.mean, 2); p.total <= rounding*rounding {
		return nil, nil, fmt.Errorf("reduce: all %d vectors are equal: there is no variance to keep", f.count)
	}
	e, err := eigen.Factorize(covariance, f.dim, simd.Best())
	if err != nil {
		return nil, nil, fmt.Errorf("reduce: the principal components: %w", err)
	}
	return p, e, nil
}

// take gives p its components.
func (p *PCA) take(e *eigen.Symmetric, components int) (err error) {
	if p.rows, err = e.Vectors(components); err != nil {
		return fmt.Errorf("reduce: the principal components: %w", err)
	}
	p.variance = make([]float64, components)
	for k := range components {
		p.variance[k] = max(e.Value(k), 0) // rounding makes the last ones negative
		turn(p.component(k))
	}
	p.finish()
	return nil
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
