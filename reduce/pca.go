package reduce

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// PCA projects vectors on their principal components: y = C (x - mean), where
// the rows of C are orthonormal. A [PCAFitter] makes it, or [Load]; it does not
// change, and is safe for concurrent use.
type PCA struct {
	inputSpace string
	space      string
	dim        int
	count      int
	mean       []float64 // dim
	variance   []float64 // one a component
	rows       []float64 // components x dim
	total      float64   // variance of all dimensions
}

// Transform reduces vectors of [PCA.InputSpace] to vectors of [PCA.Space]. It
// implements stage.Transform: a vector that does not fit (another space or
// dimension, NaN, infinite) fails alone, in a *stage.BatchError, permanently.
func (p *PCA) Transform(ctx context.Context, in []vector.Vector) ([]vector.Vector, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("reduce: %w", err)
	}
	out := make([]vector.Vector, len(in))
	var failed *stage.BatchError
	centred := make([]float64, p.dim)
	for i, v := range in {
		reduced, err := p.project(v, centred)
		if err != nil {
			if failed == nil {
				failed = &stage.BatchError{Errs: make([]error, len(in))}
			}
			failed.Errs[i] = stage.Permanent(fmt.Errorf("reduce: vector %d: %w", i, err))
			continue
		}
		out[i] = reduced
	}
	if failed != nil {
		return out, failed
	}
	return out, nil
}

func (p *PCA) project(v vector.Vector, centred []float64) (vector.Vector, error) {
	if err := v.CheckIn(p.inputSpace, p.dim); err != nil {
		return vector.Vector{}, err
	}
	for j, x := range v.Values {
		centred[j] = float64(x) - p.mean[j]
	}
	out := vector.Vector{Space: p.space, Values: make([]float32, len(p.variance))}
	for k := range out.Values {
		out.Values[k] = float32(floats.Dot(p.rows[k*p.dim:(k+1)*p.dim], centred))
	}
	return out, out.Check() // the sum of large values may overflow
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
	q.space = q.deriveSpace()
	return &q, nil
}

// InputSpace is the space of the vectors that it was fitted to and takes.
func (p *PCA) InputSpace() string { return p.inputSpace }

// Space is the space of the vectors that it gives.
func (p *PCA) Space() string { return p.space }

// Dim is the number of values of the vectors that it takes.
func (p *PCA) Dim() int { return p.dim }

// Components is the number of values of the vectors that it gives.
func (p *PCA) Components() int { return len(p.variance) }

// Count is the number of vectors that it was fitted to.
func (p *PCA) Count() int { return p.count }

// Mean returns a copy of the mean of the vectors that it was fitted to.
func (p *PCA) Mean() []float64 { return slices.Clone(p.mean) }

// Component returns a copy of component i, a unit vector of [PCA.Dim] values,
// from 0, the one of largest variance.
func (p *PCA) Component(i int) []float64 { return slices.Clone(p.rows[i*p.dim : (i+1)*p.dim]) }

// ExplainedVariance returns the variance along each component, with n-1 as the
// divisor.
func (p *PCA) ExplainedVariance() []float64 { return slices.Clone(p.variance) }

// ExplainedVarianceRatio returns each component's part of the variance of all
// dimensions; 0 where there is no variance at all.
func (p *PCA) ExplainedVarianceRatio() []float64 {
	ratio := make([]float64, len(p.variance))
	if p.total > 0 {
		floats.ScaleTo(ratio, 1/p.total, p.variance)
	}
	return ratio
}

// deriveSpace hashes all that determines what Transform gives.
func (p *PCA) deriveSpace() string {
	h := sha256.New()
	fmt.Fprintf(h, "pca 1 %d %d %q ", p.dim, len(p.variance), p.inputSpace)
	var b []byte
	for _, part := range [][]float64{p.mean, p.rows} {
		for _, x := range part {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
	}
	h.Write(b)
	return fmt.Sprintf("pca-%d-%x", len(p.variance), h.Sum(nil)[:16])
}
