//go:build !purego

package simd

import "golang.org/x/sys/cpu"

// hasCodes tells whether the kernel has instructions for codes.
func (k Kernel) hasCodes() bool { return k != Portable }

// vnni tells whether four products of bytes are one instruction.
func (k Kernel) vnni() bool { return k == AVX512 && cpu.X86.HasAVX512VNNI }

func (k Kernel) codes1(dots []float32, in []uint64, q *CodeQuery, cut *CodeCut, rows []byte, marks []float32, blocks int) {
	quads := len(q.parts) / (2 * Quad)
	if k.vnni() {
		codes1VNNI(&dots[0], &in[0], &q.parts[0], &q.zeros, cut, &rows[0], &marks[0], quads, 4*blocks)
		return
	}
	codes1AVX2(&dots[0], &in[0], &q.parts[0], &q.zeros, cut, &rows[0], &marks[0], quads, 4*blocks)
}

func (k Kernel) codesGroup(dots []float32, in []uint64, group *CodeGroup, cuts *CodeCuts, rows []byte, marks []float32, blocks int) {
	quads := len(group.parts) / (Quad * Group)
	if k.vnni() {
		codesGroupVNNI(&dots[0], &in[0], &group.parts[0], &group.zeros, cuts, &rows[0], &marks[0], quads, blocks)
		return
	}
	codesGroupAVX2(&dots[0], &in[0], &group.parts[0], &group.zeros, cuts, &rows[0], &marks[0], quads, blocks)
}

//go:noescape
func codes1AVX2(dots *float32, in *uint64, q *int8, zeros *[2]int32, cut *CodeCut, rows *byte, marks *float32, quads, panels int)

//go:noescape
func codes1VNNI(dots *float32, in *uint64, q *int8, zeros *[2]int32, cut *CodeCut, rows *byte, marks *float32, quads, panels int)

//go:noescape
func codesGroupAVX2(dots *float32, in *uint64, group *int8, zeros *[Group]int32, cuts *CodeCuts, rows *byte, marks *float32, quads, blocks int)

//go:noescape
func codesGroupVNNI(dots *float32, in *uint64, group *int8, zeros *[Group]int32, cuts *CodeCuts, rows *byte, marks *float32, quads, blocks int)
