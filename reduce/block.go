package reduce

import (
	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
)

// block projects as many vectors at once as a tile has rows, which shares the
// way of the components through the processor between them. Sums are in the
// order of [PCA.project].
type block struct {
	p      *PCA
	first  int // of the vectors that were projected last
	end    int
	errs   []error   // of the last ones
	panel  []float64 // dim x Tile: a vector's values in a column
	sums   []float64 // a tile for each Tile of the components
	kernel simd.Kernel
}

func newBlock(p *PCA) *block {
	return &block{p: p, errs: make([]error, simd.Tile), kernel: simd.Best()}
}

// project projects the vectors of in from first on.
func (b *block) project(in []vector.Vector, first int) {
	p := b.p
	if b.panel == nil {
		b.panel = make([]float64, p.dim*simd.Tile)
		b.sums = make([]float64, (len(p.variance)+simd.Tile-1)/simd.Tile*simd.Tile*simd.Tile)
	}
	b.first, b.end = first, min(first+simd.Tile, len(in))
	clear(b.sums)
	for i, v := range in[first:b.end] {
		if b.errs[i] = v.CheckIn(p.inputSpace, p.dim); b.errs[i] != nil {
			continue // its column holds what it held: nobody asks for its sums
		}
		for j, x := range v.Values {
			b.panel[j*simd.Tile+i] = float64(x) - p.mean[j]
		}
	}
	for k := 0; k < len(p.variance); k += simd.Tile {
		b.kernel.Outer(b.sums[k*simd.Tile:], simd.Tile, b.panel, p.strip(k)[k%strip:], strip)
	}
}

// vector gives vector i, one of those that were projected last.
func (b *block) vector(i int) (vector.Vector, error) {
	i -= b.first
	if b.errs[i] != nil {
		return vector.Vector{}, b.errs[i]
	}
	out := vector.Vector{Space: b.p.space, Values: make([]float32, len(b.p.variance))}
	for k := range out.Values {
		out.Values[k] = float32(b.sums[k/simd.Tile*simd.Tile*simd.Tile+i*simd.Tile+k%simd.Tile])
	}
	return out, b.p.checkOutput(out.Values)
}
