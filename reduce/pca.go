package reduce

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
)

// PCA projects vectors on their principal components: y = C (x - mean), where
// the rows of C are orthonormal. A [PCAFitter] makes it, [Load], or [LoadNPZ];
// it does not change, and is safe for concurrent use.
type PCA struct {
	inputSpace string
	space      string
	dim        int
	count      int       // 0: not known
	mean       []float64 // dim
	variance   []float64 // one a component
	rows       []float64 // components x dim
	total      float64   // variance of all dimensions
	whitened   bool

	// rows on its side, and whitened: strips of dim x strip components one after
	// the other, each as wide as the kernel has registers for.
	columns []float64
}

// strip is the width of a strip; where fewer components are left, zeros follow.
const strip = 8 * simd.Tile

// strip gives the strip in which component k stands.
func (p *PCA) strip(k int) []float64 {
	at := k / strip * p.dim * strip
	return p.columns[at : at+p.dim*strip]
}

// finish derives what the other fields determine.
func (p *PCA) finish() {
	n := len(p.variance)
	p.columns = make([]float64, (n+strip-1)/strip*strip*p.dim)
	for k := range n {
		scale := p.scale(k)
		to := p.strip(k)
		for j, x := range p.component(k) {
			to[j*strip+k%strip] = x * scale
		}
	}
	p.space = p.deriveSpace()
}

// scale is what whitening multiplies component k with.
func (p *PCA) scale(k int) float64 {
	if p.whitened {
		return 1 / math.Sqrt(p.variance[k])
	}
	return 1
}

func (p *PCA) component(k int) []float64 { return p.rows[k*p.dim : (k+1)*p.dim] }

// Transform reduces vectors of [PCA.InputSpace] to vectors of [PCA.Space]. It
// implements stage.Transform: a vector that does not fit (another space or
// dimension, NaN, infinite) fails alone, in a *stage.BatchError, permanently.
// What is made of a vector does not depend on those beside it.
func (p *PCA) Transform(ctx context.Context, in []vector.Vector) ([]vector.Vector, error) {
	b := newBlock(p)
	return eachAlone(ctx, in, func(i int, v vector.Vector) (vector.Vector, error) {
		if i >= b.end {
			b.project(in, i)
		}
		return b.vector(i)
	})
}

// TransformInto reduces v into dst, which must have [PCA.Components] values,
// and allocates nothing. dst is of [PCA.Space]; after an error it holds nothing
// of use.
func (p *PCA) TransformInto(dst []float32, v vector.Vector) error {
	if len(dst) != len(p.variance) {
		return fmt.Errorf("reduce: a destination of %d values for %d components", len(dst), len(p.variance))
	}
	if err := p.project(dst, v); err != nil {
		return fmt.Errorf("reduce: %w", err)
	}
	return nil
}

func (p *PCA) project(dst []float32, v vector.Vector) error {
	if err := v.CheckIn(p.inputSpace, p.dim); err != nil {
		return err
	}
	// Some values at a time, so that neither they nor the sums go to the heap.
	var sums [strip]float64
	var centred [256]float64
	for from := 0; from < len(dst); from += strip {
		clear(sums[:])
		width := min(strip, (len(dst)-from+simd.Tile-1)/simd.Tile*simd.Tile)
		columns := p.strip(from)
		for first := 0; first < p.dim; first += len(centred) {
			c := centred[:min(len(centred), p.dim-first)]
			for j := range c {
				c[j] = float64(v.Values[first+j]) - p.mean[first+j]
			}
			simd.Best().AddRows(sums[:width], c, columns[first*strip:], strip)
		}
		for k := range min(strip, len(dst)-from) {
			dst[from+k] = float32(sums[k])
		}
	}
	return p.checkOutput(dst)
}

// checkOutput finds the overflow of a sum of large values.
func (p *PCA) checkOutput(values []float32) error {
	return (vector.Vector{Space: p.space, Values: values}).Check()
}

// Inverse gives the vector of [PCA.InputSpace] that v, of [PCA.Space], stands
// for: of those that reduce to v the nearest to the mean. The rest of what it
// was made from is lost; see [PCA.ReconstructionError].
func (p *PCA) Inverse(v vector.Vector) (vector.Vector, error) {
	if err := v.CheckIn(p.space, len(p.variance)); err != nil {
		return vector.Vector{}, fmt.Errorf("reduce: %w", err)
	}
	wide := slices.Clone(p.mean)
	for k, y := range v.Values {
		simd.Best().AddScaled(wide, float64(y)/p.scale(k), p.component(k))
	}
	out := vector.Vector{Space: p.inputSpace, Values: make([]float32, p.dim)}
	for j, x := range wide {
		out.Values[j] = float32(x)
	}
	if err := out.Check(); err != nil {
		return vector.Vector{}, fmt.Errorf("reduce: %w", err)
	}
	return out, nil
}

// ReconstructionError is the mean of the squared Euclidean distances between
// vectors of [PCA.InputSpace] and what [PCA.Inverse] makes of them reduced. Of
// the vectors that it was fitted to, (n-1)/n of the variance that is not kept.
func (p *PCA) ReconstructionError(vs ...vector.Vector) (float64, error) {
	if len(vs) == 0 {
		return 0, errors.New("reduce: the reconstruction error of no vectors")
	}
	sum := 0.0
	rest := make([]float64, p.dim)
	for i, v := range vs {
		if err := v.CheckIn(p.inputSpace, p.dim); err != nil {
			return 0, fmt.Errorf("reduce: vector %d: %w", i, err)
		}
		for j, x := range v.Values {
			rest[j] = float64(x) - p.mean[j]
		}
		for k := range p.variance {
			c := p.component(k)
			floats.AddScaled(rest, -floats.Dot(rest, c), c) // the others are orthogonal to it
		}
		sum += floats.Dot(rest, rest)
	}
	return sum / float64(len(vs)), nil
}

// Truncate returns the PCA of the first components only, what a fit of that
// size had given.
func (p *PCA) Truncate(components int) (*PCA, error) {
	if components < 1 || components > len(p.variance) {
		return nil, fmt.Errorf("reduce: cannot truncate a PCA of %d components to %d", len(p.variance), components)
	}
	q := *p
	q.variance = p.variance[:components:components]
	q.rows = p.rows[: components*p.dim : components*p.dim]
	q.finish()
	return &q, nil
}

// Whiten returns a PCA that divides each component by its standard deviation,
// as scikit-learn's whiten=True does. It is for what learns from vectors, not for
// their neighbours: directions that hardly vary count as much as those that
// matter, so that other vectors are nearest, and a distance is no lower bound
// of the full one. That is why no PCA whitens unless this asks for it.
//
// A component without variance cannot be whitened; truncate before.
func (p *PCA) Whiten() (*PCA, error) {
	for k, v := range p.variance {
		if v <= 1e-12*p.variance[0] {
			return nil, fmt.Errorf("reduce: component %d has no variance, and cannot be whitened: truncate the PCA to %d", k, k)
		}
	}
	q := *p
	q.whitened = true
	q.finish()
	return &q, nil
}

// Whitened tells whether it whitens: see [PCA.Whiten].
func (p *PCA) Whitened() bool { return p.whitened }

// InputSpace is the space of the vectors that it was fitted to and takes.
func (p *PCA) InputSpace() string { return p.inputSpace }

// Space is the space of the vectors that it gives.
func (p *PCA) Space() string { return p.space }

// Dim is the number of values of the vectors that it takes.
func (p *PCA) Dim() int { return p.dim }

// Components is the number of values of the vectors that it gives.
func (p *PCA) Components() int { return len(p.variance) }

// Count is the number of vectors that it was fitted to, 0 if that is not known.
func (p *PCA) Count() int { return p.count }

// Mean returns a copy of the mean of the vectors that it was fitted to.
func (p *PCA) Mean() []float64 { return slices.Clone(p.mean) }

// Component returns a copy of component i, a unit vector of [PCA.Dim] values,
// from 0, the one of largest variance.
func (p *PCA) Component(i int) []float64 { return slices.Clone(p.component(i)) }

// ExplainedVariance returns the variance along each component, with n-1 as the
// divisor.
func (p *PCA) ExplainedVariance() []float64 { return slices.Clone(p.variance) }

// ExplainedVarianceRatio returns each component's part of the variance of all
// dimensions.
func (p *PCA) ExplainedVarianceRatio() []float64 {
	ratio := make([]float64, len(p.variance))
	if p.total > 0 {
		floats.ScaleTo(ratio, 1/p.total, p.variance)
	}
	return ratio
}

// deriveSpace hashes all that determines what Transform gives.
func (p *PCA) deriveSpace() string {
	name := "pca"
	if p.whitened {
		name = "pca-whitened"
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s 1 %d %d %q ", name, p.dim, len(p.variance), p.inputSpace)
	parts := [][]float64{p.mean, p.rows}
	if p.whitened {
		parts = append(parts, p.variance)
	}
	var b []byte
	for _, part := range parts {
		for _, x := range part {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
	}
	h.Write(b)
	return fmt.Sprintf("%s-%d-%x", name, len(p.variance), h.Sum(nil)[:16])
}
