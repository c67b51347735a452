//go:build !amd64 || purego

package simd

// hasCodes tells whether the kernel has instructions for codes.
func (k Kernel) hasCodes() bool { return false }

func (k Kernel) codes1(dots []float32, in []uint64, q *CodeQuery, cut *CodeCut, rows []byte, marks []float32, blocks int) {
	panic("simd: only the portable kernel is here")
}

func (k Kernel) codesGroup(dots []float32, in []uint64, group *CodeGroup, cuts *CodeCuts, rows []byte, marks []float32, blocks int) {
	panic("simd: only the portable kernel is here")
}
