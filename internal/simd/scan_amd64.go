//go:build !purego

package simd

import "golang.org/x/sys/cpu"

// Best is the fastest kernel that this processor, and its operating system,
// can run.
func Best() Kernel {
	switch {
	case !cpu.X86.HasAVX2 || !cpu.X86.HasFMA:
		return Portable
	case !cpu.X86.HasAVX512F:
		return AVX2
	}
	return AVX512
}

func (k Kernel) scan1(dots []float32, in []uint64, q []float32, cut Cut, rows, sizes []float32, blocks int) {
	if k == AVX512 {
		scan1AVX512(&dots[0], &in[0], &q[0], &cut, &rows[0], &sizes[0], len(q), 4*blocks)
		return
	}
	scan1AVX2(&dots[0], &in[0], &q[0], &cut, &rows[0], &sizes[0], len(q), 4*blocks)
}

func (k Kernel) scanGroup(dots []float32, in []uint64, group []float32, size int, cuts *Cuts, rows, sizes []float32, blocks int, ahead []float32) {
	dim := len(group) / size
	if size == LargeGroup {
		next, step := pace(rows, ahead, blocks*2*(dim/4+dim%4))
		scanLargeGroupAVX512(&dots[0], &in[0], &group[0], cuts, &rows[0], &sizes[0], dim, blocks, next, step)
		return
	}
	if k == AVX512 {
		next, step := pace(rows, ahead, blocks*dim)
		scanGroupAVX512(&dots[0], &in[0], &group[0], cuts, &rows[0], &sizes[0], dim, blocks, next, step)
		return
	}
	next, step := pace(rows, ahead, 4*blocks*dim)
	scanGroupAVX2(&dots[0], &in[0], &group[0], cuts, &rows[0], &sizes[0], dim, blocks, next, step)
}

//go:noescape
func scan1AVX2(dots *float32, in *uint64, q *float32, cut *Cut, rows, sizes *float32, dim, panels int)

//go:noescape
func scan1AVX512(dots *float32, in *uint64, q *float32, cut *Cut, rows, sizes *float32, dim, panels int)

//go:noescape
func scanGroupAVX2(dots *float32, in *uint64, group *float32, cuts *Cuts, rows, sizes *float32, dim, blocks int, ahead *float32, step int)

//go:noescape
func scanLargeGroupAVX512(dots *float32, in *uint64, group *float32, cuts *Cuts, rows, sizes *float32, dim, blocks int, ahead *float32, step int)

//go:noescape
func scanGroupAVX512(dots *float32, in *uint64, group *float32, cuts *Cuts, rows, sizes *float32, dim, blocks int, ahead *float32, step int)
