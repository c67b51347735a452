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

func (k Kernel) scanGroup(dots []float32, in []uint64, group []float32, cuts *Cuts, rows, sizes []float32, blocks int) {
	dim := len(group) / Group
	if k == AVX512 {
		scanGroupAVX512(&dots[0], &in[0], &group[0], cuts, &rows[0], &sizes[0], dim, blocks)
		return
	}
	scanGroupAVX2(&dots[0], &in[0], &group[0], cuts, &rows[0], &sizes[0], dim, blocks)
}

//go:noescape
func scan1AVX2(dots *float32, in *uint64, q *float32, cut *Cut, rows, sizes *float32, dim, panels int)

//go:noescape
func scan1AVX512(dots *float32, in *uint64, q *float32, cut *Cut, rows, sizes *float32, dim, panels int)

//go:noescape
func scanGroupAVX2(dots *float32, in *uint64, group *float32, cuts *Cuts, rows, sizes *float32, dim, blocks int)

//go:noescape
func scanGroupAVX512(dots *float32, in *uint64, group *float32, cuts *Cuts, rows, sizes *float32, dim, blocks int)
