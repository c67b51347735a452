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

// shape is what is kept of a row: so many values in panels, so many codes, and
// so many values beside them.
type shape struct{ values, codes, full int }

// row is an item as an encoder makes it.
type row struct {
	values, full []float32
	size, length float64 // see bound
	coded        coded   // if there are codes
	list         int     // of an IVF
}

// segment holds rows as the kernels want them. A row is written once, and
// then published by a snapshot that counts it; what a snapshot counts never
// changes, but for died. All but died is read without a lock.
type segment struct {
	shape  shape
	panels []float32 // blocks of rows: see simd.Panel, simd.Block
	codes  []byte    // the same of codes, which are scanned instead: see simd.CodeAt
	sizes  []float64 // of each row, for bounds: see bound
	rough  []float32 // sizes, rounded down, for the kernels; with codes, marks: see simd.MarkAt
	ids    []string
	full   []float32 // row-major, if panels holds less than that
	died   []atomic.Uint64
	fixed  bool // takes no more rows: panels is a file's, and not to be written
}

// newSegment has room for so many rows, rounded up to blocks.
func newSegment(rows int, sh shape) *segment {
	rows = (rows + simd.Block - 1) / simd.Block * simd.Block
	marks := 1
	if sh.codes > 0 {
		marks = simd.Marks
	}
	return &segment{
		shape:  sh,
		panels: huge.Floats(rows * sh.values),
		codes:  huge.Bytes(rows * sh.codes),
		sizes:  make([]float64, rows),
		rough:  make([]float32, rows*marks),
		ids:    make([]string, rows),
		full:   huge.Floats(rows * sh.full),
		died:   make([]atomic.Uint64, rows),
	}
}

func (s *segment) room() int { return len(s.ids) }

// set writes a row that no snapshot counts yet.
func (s *segment) set(i int, id string, r row) {
	s.setScanned(i, id, r)
	if s.shape.values > 0 {
		panel := s.panels[s.at(i):]
		for d, v := range r.values {
			panel[d*simd.Panel] = v
		}
	}
	copy(s.full[i*s.shape.full:], r.full)
	s.died[i].Store(0)
}

// setScanned writes all but the row's values.
func (s *segment) setScanned(i int, id string, r row) {
	s.ids[i], s.sizes[i] = id, r.size
	if s.shape.codes == 0 {
		s.rough[i] = down(r.size)
		return
	}
	at := simd.CodeAt(i, s.shape.codes)
	for d := 0; d < len(r.coded.codes); d += simd.Quad {
		copy(s.codes[at+d*simd.Panel:][:simd.Quad], r.coded.codes[d:])
	}
	mark := simd.MarkAt(i)
	s.rough[mark], s.rough[mark+simd.Panel], s.rough[mark+2*simd.Panel] = r.coded.scale, r.coded.miss, down(r.size)
}

// at is where a row's first value is; the others follow simd.Panel apart.
func (s *segment) at(row int) int {
	return row/simd.Panel*simd.Panel*s.shape.values + row%simd.Panel
}

// gather copies a row of the panels to dst, which has as many values.
func (s *segment) gather(dst []float32, row int) {
	simd.Gather(dst, s.panels[s.at(row):], nil)
}

// values are a row as it was added; buf is where they go if they must be
// gathered.
func (s *segment) values(buf []float32, row int) []float32 {
	if n := s.shape.full; n > 0 {
		return s.full[row*n : (row+1)*n]
	}
	s.gather(buf, row)
	return buf
}

// valuesBefore is values, and asks memory for those of another row, which is next.
func (s *segment) valuesBefore(buf []float32, row int, other *segment, next int) []float32 {
	if s.shape.full > 0 || other.shape.full > 0 { // some of a collection's may be a file's
		return s.values(buf, row)
	}
	simd.Gather(buf, s.panels[s.at(row):], other.panels[other.at(next):])
	return buf
}

// first is the first value that is scanned of a row, or with codes, a number
// that is not less.
func (s *segment) first(row int) float64 {
	if s.shape.codes == 0 {
		return float64(s.panels[s.at(row)])
	}
	mark := simd.MarkAt(row)
	scale, miss := float64(s.rough[mark]), float64(s.rough[mark+simd.Panel])
	v := scale*float64(int(s.codes[simd.CodeAt(row, s.shape.codes)])-simd.CodeZero) + miss
	return v + math.Abs(v)*0x1p-50
}

// move copies a row of another segment for items of the same dimension.
func (s *segment) move(row int, from *segment, other int) {
	s.ids[row], s.sizes[row] = from.ids[other], from.sizes[other]
	if s.shape.codes > 0 {
		to, at := simd.CodeAt(row, s.shape.codes), simd.CodeAt(other, s.shape.codes)
		for quad := 0; quad < s.shape.codes*simd.Panel; quad += simd.Quad * simd.Panel {
			copy(s.codes[to+quad:][:simd.Quad], from.codes[at+quad:])
		}
		to, at = simd.MarkAt(row), simd.MarkAt(other)
		for m := 0; m < simd.Marks*simd.Panel; m += simd.Panel {
			s.rough[to+m] = from.rough[at+m]
		}
	} else {
		s.rough[row] = from.rough[other]
	}
	if s.shape.values > 0 {
		to, at := s.panels[s.at(row):], from.panels[from.at(other):]
		for d := range s.shape.values {
			to[d*simd.Panel] = at[d*simd.Panel]
		}
	}
	if n := s.shape.full; n > 0 {
		to := s.full[row*n : (row+1)*n]
		copy(to, from.values(to, other)) // from may be a file's, whose values are in panels
	}
}

// scanned, codesOf and marks are what kernels take of a run of blocks. Of codes,
// there is nothing to scan but them.
func (s *segment) scanned(first, end int) []float32 {
	if s.shape.codes > 0 {
		return nil
	}
	n := simd.Block * s.shape.values
	return s.panels[first*n : end*n]
}

func (s *segment) codesOf(first, end int) []byte {
	n := simd.Block * s.shape.codes
	return s.codes[first*n : end*n]
}

func (s *segment) marks(first, end int) []float32 {
	n := simd.Block
	if s.shape.codes > 0 {
		n *= simd.Marks
	}
	return s.rough[first*n : end*n]
}

// view is what a snapshot sees of a segment: its first rows.
type view struct {
	*segment
	rows    int
	list    int     // of an IVF
	largest float64 // no row is longer
}

// blocks is how many blocks the rows are in; the last one may have room left.
func (v *view) blocks() int { return (v.rows + simd.Block - 1) / simd.Block }

// snapshot is the state of a collection after a change. It is never changed.
type snapshot struct {
	space   string
	dim     int // of what was added
	width   int // values of a row that is scanned
	views   []view
	live    int // rows that are there: not replaced, not deleted
	version uint64
	coarse  *coarse // of an IVF: nil is untrained
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

// up is the smallest float32 that is not below x.
func up(x float64) float32 { return -down(-x) }
