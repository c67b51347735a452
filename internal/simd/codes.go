package simd

import "math/bits"

const (
	// Quad is how many codes of a row lie side by side.
	Quad = 4
	// CodeZero is the code of the value 0.
	CodeZero = 128
	// CodeMost is how far a code may be from CodeZero.
	CodeMost = 127
	// CodeStep is what a query's numbers are multiples of, in a group.
	CodeStep = 128
	// CodeQueryMost is how far a query's number may be from 0.
	CodeQueryMost = 64 * CodeStep
	// MaxCodes is the most codes of a row: sums of more do not fit an int32.
	MaxCodes = 1 << 16
)

// CodeSize is how many codes a row of dim values takes: whole quads. Those
// beyond the values are anything, as a query's are 0 there.
func CodeSize(dim int) int { return (dim + Quad - 1) / Quad * Quad }

// CodeAt is where the first code of a row is, of size codes a row: the others
// follow, but each quad is [Quad] x [Panel] after the one before it.
func CodeAt(row, size int) int { return row/Panel*Panel*size + row%Panel*Quad }

// MarkAt is where a row's scale is: its miss is [Panel] after that, and its
// size another Panel after.
func MarkAt(row int) int { return row/Panel*Panel*Marks + row%Panel }

// Marks are the numbers that stand beside a row of codes: scale, miss, size.
const Marks = 3

// CodeQuery is a query for rows of codes. Its numbers of 14 bits are kept as
// two of 7, so that no sum of two products exceeds an int16.
type CodeQuery struct {
	parts []int8   // of each quad: the upper parts, the lower parts
	zeros [2]int32 // what the sums begin with, so that CodeZero counts nothing
}

// NewCodeQuery takes a number for each code, of at most [CodeQueryMost] either
// way.
func NewCodeQuery(numbers []int16) CodeQuery {
	q := CodeQuery{parts: make([]int8, 2*CodeSize(len(numbers)))}
	for d, v := range numbers {
		upper := (v + CodeStep/2) >> 7
		lower := v - upper*CodeStep
		at := d/Quad*2*Quad + d%Quad
		q.parts[at], q.parts[at+Quad] = int8(upper), int8(lower)
		q.zeros[0] -= CodeZero * int32(upper)
		q.zeros[1] -= CodeZero * int32(lower)
	}
	return q
}

// CodeGroup is [Group] queries for the same rows, of numbers that are multiples
// of [CodeStep]: half the work. Places that were not set are queries of zeros.
type CodeGroup struct {
	parts []int8 // of each quad: the upper parts of all queries
	zeros [Group]int32
}

// NewCodeGroup is for rows of size codes.
func NewCodeGroup(size int) *CodeGroup { return &CodeGroup{parts: make([]int8, Group*size)} }

// Set puts a query at place j.
func (g *CodeGroup) Set(j int, q CodeQuery) {
	for quad := range len(q.parts) / (2 * Quad) {
		copy(g.parts[(quad*Group+j)*Quad:][:Quad], q.parts[quad*2*Quad:])
	}
	g.zeros[j] = q.zeros[0]
}

// CodeCut says which rows are in, for one query: those with
//
//	Factor scale dot + Reach miss - Slope size >= Limit
//
// whatever the order and the roundings, of which there are four, and those
// whose left side is not a number.
type CodeCut struct{ Factor, Reach, Slope, Limit float32 }

// CodeCuts are a CodeCut for each query of a group.
type CodeCuts struct{ Factors, Reaches, Slopes, Limits [Group]float32 }

// Set puts a cut at place j.
func (c *CodeCuts) Set(j int, cut CodeCut) {
	c.Factors[j], c.Reaches[j], c.Slopes[j], c.Limits[j] = cut.Factor, cut.Reach, cut.Slope, cut.Limit
}

// ScanCodes computes the dot products of q's numbers with those of n rows of
// codes, each less CodeZero, and tells which rows are in; n is at least 1.
//
// rows are in blocks (see [CodeAt], [Block]), as marks are (see [MarkAt]), the
// last block filled up with whatever is there. Row i's dot product is dots[i],
// summed without error and then rounded, twice from 2,048 codes on; its bit is
// i%64 of in[i/64]. Bits of rows from n on are 0; what is in dots there, is
// undefined. What [Kernel.Scan] says of such rows, goes here too.
func (k Kernel) ScanCodes(dots []float32, in []uint64, q CodeQuery, cut CodeCut, rows []byte, marks []float32, n int) {
	size := len(q.parts) / 2
	blocks := (n + Block - 1) / Block
	dots, in, rows, marks = dots[:blocks*Block], in[:blocks], rows[:blocks*Block*size], marks[:blocks*Block*Marks]
	if !k.hasCodes() {
		clear(in)
		portableCodes(dots, in, 1, 0, q.parts, q.parts[Quad:], 2*Quad, cut, rows, marks, n)
		return
	}
	k.codes1(dots, in, &q, &cut, rows, marks, blocks)
	if n%Block != 0 {
		in[blocks-1] &= 1<<(n%Block) - 1
	}
}

// ScanCodeGroup is [Kernel.ScanCodes] for a group: see [Kernel.ScanGroup] for
// where the results are.
func (k Kernel) ScanCodeGroup(dots []float32, in []uint64, group *CodeGroup, cuts *CodeCuts, rows []byte, marks []float32, n int) {
	size := len(group.parts) / Group
	blocks := (n + Block - 1) / Block
	dots, in, rows, marks = dots[:blocks*Block*Group], in[:blocks*Group], rows[:blocks*Block*size], marks[:blocks*Block*Marks]
	if !k.hasCodes() {
		clear(in)
		for j := range Group {
			cut := CodeCut{cuts.Factors[j], cuts.Reaches[j], cuts.Slopes[j], cuts.Limits[j]}
			portableCodes(dots, in, Group, j, group.parts[j*Quad:], nil, Quad*Group, cut, rows, marks, n)
		}
		return
	}
	k.codesGroup(dots, in, group, cuts, rows, marks, blocks)
	if n%Block != 0 {
		for j := range Group {
			in[(blocks-1)*Group+j] &= 1<<(n%Block) - 1
		}
	}
}

// portableCodes is query j of queries at once, whose quads are step apart; it
// may have no lower parts.
func portableCodes(dots []float32, in []uint64, queries, j int, upper, lower []int8, step int, cut CodeCut, rows []byte, marks []float32, n int) {
	size := len(rows) / (len(marks) / Marks)
	for first := 0; first < n; first += Panel {
		var sums [Panel]int64
		lanes := min(Panel, n-first)
		panel := rows[first*size : (first+Panel)*size]
		for quad := range size / Quad {
			var q [Quad]int32
			for d, v := range (*[Quad]int8)(upper[quad*step:]) {
				q[d] = CodeStep * int32(v)
			}
			if lower != nil {
				for d, v := range (*[Quad]int8)(lower[quad*step:]) {
					q[d] += int32(v)
				}
			}
			for lane := range lanes {
				x := (*[Quad]byte)(panel[(quad*Panel+lane)*Quad:])
				sums[lane] += int64(q[0]*(int32(x[0])-CodeZero) + q[1]*(int32(x[1])-CodeZero) +
					q[2]*(int32(x[2])-CodeZero) + q[3]*(int32(x[3])-CodeZero))
			}
		}
		block := first / Block * queries
		var word uint64
		for lane, sum := range sums[:lanes] {
			dot := float32(sum)
			dots[(block+j)*Block+first%Block+lane] = dot
			scale := marks[first*Marks+lane]
			miss, size := marks[first*Marks+Panel+lane], marks[first*Marks+2*Panel+lane]
			left := float64(cut.Factor)*float64(dot)*float64(scale) + float64(cut.Reach)*float64(miss) - float64(cut.Slope)*float64(size)
			if !(left < float64(cut.Limit)) {
				word |= 1 << lane
			}
		}
		in[block+j] |= bits.RotateLeft64(word, first%Block)
	}
}
