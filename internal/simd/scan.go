package simd

import "math/bits"

const (
	// Panel is how many rows lie side by side: value j of all of them, then
	// value j+1 of all of them.
	Panel = 16
	// Block is how many rows a kernel takes at a time: four panels, one after
	// the other. One bit a row makes a word.
	Block = 4 * Panel
	// Group is how many queries share a loaded row: see [Kernel.ScanGroup].
	Group = 6
	// LargeGroup is the same where there are registers for so many sums.
	LargeGroup = 13
)

// Cut says which rows are in, for one query: those with
//
//	dot - Slope size >= Limit
//
// that is, computed with one rounding, and those whose left side is not a
// number. Size is a number that the caller has given the row.
type Cut struct{ Slope, Limit float32 }

// Cuts are a Cut for each query of a group.
type Cuts struct{ Slopes, Limits [LargeGroup]float32 }

// GroupOf is how many places a group for n queries has: Group or LargeGroup.
func (k Kernel) GroupOf(n int) int {
	if n > Group && k.large() {
		return LargeGroup
	}
	return Group
}

// Scan computes the dot products of q with n rows, n at least 1, and tells
// which rows are in.
//
// rows are in blocks (see [Panel], [Block]), the last one filled up with
// whatever is there, and sizes are as many numbers; len(q) is the rows'
// length, at least 1. Row i's dot product is dots[i], and its bit i%64 of
// in[i/64]. Bits of rows from n on are 0; what is in dots there, is undefined.
//
// Values of rows from n on are loaded, and ignored, by all kernels but the
// Portable one, so that somebody may write them meanwhile.
func (k Kernel) Scan(dots []float32, in []uint64, q []float32, cut Cut, rows, sizes []float32, n int) {
	dim := len(q)
	blocks := (n + Block - 1) / Block
	dots, in, rows, sizes = dots[:blocks*Block], in[:blocks], rows[:blocks*Block*dim], sizes[:blocks*Block]
	if k == Portable {
		clear(in)
		portableScan(dots, in, 1, 0, q, 1, cut, rows, sizes, n)
		return
	}
	k.scan1(dots, in, q, cut, rows, sizes, blocks)
	if n%Block != 0 {
		in[blocks-1] &= 1<<(n%Block) - 1
	}
}

// ScanGroup is [Kernel.Scan] for a group of so many queries as [Kernel.GroupOf]
// says, which [PackGroup] has put together. Of query j of a group of size and of
// row i, the dot product is dots[i/64*64*size+j*64+i%64], and the bit i%64 of
// in[i/64*size+j].
//
// ahead, which may be empty, is what a scan needs next: it is brought into the
// second cache meanwhile, as what is computed here leaves the memory idle.
func (k Kernel) ScanGroup(dots []float32, in []uint64, group []float32, size int, cuts *Cuts, rows, sizes []float32, n int, ahead []float32) {
	dim := len(group) / size
	blocks := (n + Block - 1) / Block
	dots, in, rows, sizes = dots[:blocks*Block*size], in[:blocks*size], rows[:blocks*Block*dim], sizes[:blocks*Block]
	if k == Portable {
		clear(in)
		for j := range size {
			portableScan(dots, in, size, j, group[j:], size, Cut{cuts.Slopes[j], cuts.Limits[j]}, rows, sizes, n)
		}
		return
	}
	k.scanGroup(dots, in, group, size, cuts, rows, sizes, blocks, ahead)
	if n%Block != 0 {
		for j := range size {
			in[(blocks-1)*size+j] &= 1<<(n%Block) - 1
		}
	}
}

// pace is for kernels that touch a byte ahead at each of so many steps: where to
// begin, and how many bytes to go on. If nothing is ahead, that is rows.
func pace(rows, ahead []float32, steps int) (next *float32, step int) {
	if len(ahead) == 0 {
		return &rows[0], 0
	}
	return &ahead[0], (4*len(ahead) + steps - 1) / steps
}

// PackGroup puts a query at place j of a group of len(q) x size values.
func PackGroup(group []float32, size, j int, q []float32) {
	for d, v := range q {
		group[d*size+j] = v
	}
}

// portableScan is query j of queries at once, whose values are step apart.
func portableScan(dots []float32, in []uint64, queries, j int, q []float32, step int, cut Cut, rows, sizes []float32, n int) {
	dim := len(rows) / len(sizes)
	for first := 0; first < n; first += Panel {
		var sums [Panel]float32
		panel := rows[first*dim : (first+Panel)*dim]
		lanes := min(Panel, n-first)
		if lanes == Panel {
			for d := range dim {
				v := q[d*step]
				for lane, x := range (*[Panel]float32)(panel[d*Panel:]) {
					sums[lane] += v * x
				}
			}
		} else {
			for d := range dim {
				v := q[d*step]
				for lane := range lanes {
					sums[lane] += v * panel[d*Panel+lane]
				}
			}
		}
		block := first / Block * queries
		copy(dots[(block+j)*Block+first%Block:], sums[:])
		var word uint64
		for lane, dot := range sums[:lanes] {
			// The product is exact, and one rounding more moves nothing over
			// the limit, which is a float32.
			if left := float64(dot) - float64(cut.Slope)*float64(sizes[first+lane]); !(left < float64(cut.Limit)) {
				word |= 1 << lane
			}
		}
		in[block+j] |= bits.RotateLeft64(word, first%Block)
	}
}
