//go:build !purego

package simd

// Best is the fastest kernel that this processor can run: all of arm64 have
// NEON.
func Best() Kernel { return NEON }

func (k Kernel) scan1(dots []float32, in []uint64, q []float32, cut Cut, rows, sizes []float32, blocks int) {
	scan1NEON(&dots[0], &in[0], &q[0], &cut, &rows[0], &sizes[0], len(q), 4*blocks)
}

func (k Kernel) scanGroup(dots []float32, in []uint64, group []float32, size int, cuts *Cuts, rows, sizes []float32, blocks int, ahead []float32) {
	dim := len(group) / size
	next, step := pace(rows, ahead, 4*blocks*dim)
	scanGroupNEON(&dots[0], &in[0], &group[0], cuts, &rows[0], &sizes[0], dim, blocks, next, step)
}

//go:noescape
func scan1NEON(dots *float32, in *uint64, q *float32, cut *Cut, rows, sizes *float32, dim, panels int)

//go:noescape
func scanGroupNEON(dots *float32, in *uint64, group *float32, cuts *Cuts, rows, sizes *float32, dim, blocks int, ahead *float32, step int)
