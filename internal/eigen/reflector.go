package eigen

import "github.com/millrace-go/millrace/internal/simd"

// reflector applies a tile's number of reflections at once, from the last to
// the first: their product is I - V T V', T an upper triangle (R. Schreiber and
// C. Van Loan, A Storage-Efficient WY Representation for Products of Householder
// Transformations). So what they are applied to goes through the processor
// twice for all of them. It is for one goroutine.
type reflector struct {
	s        *Symmetric
	v        []float64 // rows x Tile
	gram     []float64 // V'V, Tile x Tile
	t        []float64 // Tile x Tile
	products []float64 // V' times the columns: Tile x width
	scaled   []float64 // T times that
	width    int
}

func newReflector(s *Symmetric, width int) *reflector {
	const tile = simd.Tile
	return &reflector{
		s: s, width: width, v: make([]float64, s.n*tile), gram: make([]float64, tile*tile), t: make([]float64, tile*tile),
		products: make([]float64, tile*width), scaled: make([]float64, tile*width),
	}
}

// reflect applies reflections k, k+1, ... to rows of width values, stride apart.
func (r *reflector) reflect(k int, columns []float64, stride int) {
	const tile = simd.Tile
	n, kernel := r.s.n, r.s.kernel
	first := k + 1 // no reflection changes the rows before
	v := r.v[:(n-first)*tile]
	clear(v)
	for i := range min(tile, n-1-k) {
		for j, x := range r.s.row(k+i, first+i) {
			v[(i+j)*tile+i] = x
		}
	}
	clear(r.gram)
	kernel.Outer(r.gram, tile, v, v, tile)
	r.triangle(k)
	clear(r.products)
	for at := 0; at < r.width; at += tile {
		kernel.Outer(r.products[at:], r.width, v, columns[first*stride+at:], stride)
	}
	clear(r.scaled)
	for i := range tile {
		kernel.AddRows(r.scaled[i*r.width:(i+1)*r.width], r.t[i*tile:(i+1)*tile], r.products, r.width)
	}
	for j := range n - first {
		at := (first + j) * stride
		kernel.AddRows(columns[at:at+r.width], v[j*tile:(j+1)*tile], r.scaled, r.width)
	}
}

// triangle makes -T, for reflections from k on.
func (r *reflector) triangle(k int) {
	const tile = simd.Tile
	clear(r.t)
	for j := range min(tile, r.s.n-1-k) {
		scale := r.s.scale[k+j]
		for i := range j {
			sum := 0.0
			for l := i; l < j; l++ {
				sum += r.t[i*tile+l] * r.gram[l*tile+j]
			}
			r.t[i*tile+j] = -scale * sum
		}
		r.t[j*tile+j] = -scale
	}
}
