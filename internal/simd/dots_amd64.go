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

// dots does the whole blocks of rows.
func (k Kernel) dots(dst, q, rows []float32) {
	if k == AVX512 {
		dots1AVX512(&dst[0], &q[0], &rows[0], len(q), len(dst)/block)
		return
	}
	dots1AVX2(&dst[0], &q[0], &rows[0], len(q), len(dst)/block)
}

func (k Kernel) dots2(dst0, dst1, q0, q1, rows []float32) {
	if k == AVX512 {
		dots2AVX512(&dst0[0], &dst1[0], &q0[0], &q1[0], &rows[0], len(q0), len(dst0)/block)
		return
	}
	dots2AVX2(&dst0[0], &dst1[0], &q0[0], &q1[0], &rows[0], len(q0), len(dst0)/block)
}

//go:noescape
func dots1AVX2(dst, q, rows *float32, dim, blocks int)

//go:noescape
func dots2AVX2(dst0, dst1, q0, q1, rows *float32, dim, blocks int)

//go:noescape
func dots1AVX512(dst, q, rows *float32, dim, blocks int)

//go:noescape
func dots2AVX512(dst0, dst1, q0, q1, rows *float32, dim, blocks int)
