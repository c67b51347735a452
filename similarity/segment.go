package similarity

import (
	"math"
	"sync/atomic"

	"github.com/millrace-go/millrace/internal/huge"
	"github.com/millrace-go/millrace/internal/simd"
)

// segmentRows is the most rows of a segment: so few that copying one is soon
// done. It is a whole number of blocks.
const segmentRows = 128 * simd.Block

// segment holds rows as the kernels want them. A row is written once, and
// then published by a snapshot that counts it; what a snapshot counts never
// changes, but for died. All but died is read without a lock.
type segment struct {
	width  int       // values of a row
	panels []float32 // blocks of rows: see simd.Panel, simd.Block
	sizes  []float64 // of each row, for bounds: see bound
	rough  []float32 // sizes, rounded down, for the kernels
	ids    []string
	full   []float32 // row-major, dim values a row, if panels holds less than that
	died   []atomic.Uint64
	fixed  bool // takes no more rows: panels is a file's, and not to be written
}

// newSegment has room for so many rows, rounded up to blocks. dim is 0 if
// there are no full rows.
func newSegment(rows, width, dim int) *segment {
	rows = (rows + simd.Block - 1) / simd.Block * simd.Block
	return &segment{
		width:  width,
		panels: huge.Floats(rows * width),
		sizes:  make([]float64, rows),
		rough:  make([]float32, rows),
		ids:    make([]string, rows),
		full:   huge.Floats(rows * dim),
		died:   make([]atomic.Uint64, rows),
	}
}

func (s *segment) room() int { return len(s.ids) }

// set writes a row that no snapshot counts yet.
func (s *segment) set(row int, id string, values, full []float32, size float64) {
	at := s.at(row)
	for d, v := range values {
		s.panels[at+d*simd.Panel] = v
	}
	s.ids[row], s.sizes[row], s.rough[row] = id, size, down(size)
	copy(s.full[row*len(full):], full)
	s.died[row].Store(0)
}

// at is where a row's first value is; the others follow simd.Panel apart.
func (s *segment) at(row int) int {
	return row/simd.Panel*simd.Panel*s.width + row%simd.Panel
}

// gather copies a row of the panels to dst, which has width values.
func (s *segment) gather(dst []float32, row int) {
	panel := s.panels[s.at(row):]
	for d := range dst {
		dst[d] = panel[d*simd.Panel]
	}
}

// values are a row as it was added; buf is where they go if they must be
// gathered.
func (s *segment) values(buf []float32, row int) []float32 {
	if len(s.full) > 0 {
		dim := len(s.full) / len(s.ids)
		return s.full[row*dim : (row+1)*dim]
	}
	s.gather(buf, row)
	return buf
}

// last is a row's last value in the panels.
func (s *segment) last(row int) float32 { return s.panels[s.at(row)+(s.width-1)*simd.Panel] }

// move copies a row of another segment of the same shape.
func (s *segment) move(row int, from *segment, other int) {
	to, at := s.panels[s.at(row):], from.panels[from.at(other):]
	for d := range s.width {
		to[d*simd.Panel] = at[d*simd.Panel]
	}
	s.ids[row], s.sizes[row], s.rough[row] = from.ids[other], from.sizes[other], from.rough[other]
	if dim := len(s.full) / len(s.ids); dim > 0 {
		copy(s.full[row*dim:(row+1)*dim], from.full[other*dim:])
	}
}

// view is what a snapshot sees of a segment: its first rows.
type view struct {
	*segment
	rows    int
	largest float64 // no row is longer
}

// blocks is how many blocks the rows are in; the last one may have room left.
func (v *view) blocks() int { return (v.rows + simd.Block - 1) / simd.Block }

// snapshot is the state of a collection after a change. It is never changed.
type snapshot struct {
	space   string
	dim     int // of what was added
	width   int // of the rows that are scanned
	views   []view
	live    int // rows that are there: not replaced, not deleted
	version uint64
}

// alive tells whether the snapshot's collection has the row.
func (s *snapshot) alive(v *view, row int) bool {
	died := v.died[row].Load()
	return died == 0 || died > s.version
}

// each calls f with every row that is there.
func (s *snapshot) each(f func(v *view, row int)) {
	for i := range s.views {
		v := &s.views[i]
		for row := range v.rows {
			if s.alive(v, row) {
				f(v, row)
			}
		}
	}
}

// down is the largest float32 that is not above x.
func down(x float64) float32 {
	f := float32(x)
	if float64(f) > x {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}
