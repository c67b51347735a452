//go:build unix

package simd_test

import (
	"syscall"
	"testing"
	"unsafe"

	"github.com/millrace-go/millrace/internal/simd"
)

// beforeGuard returns size values at the end of a page after which nothing
// may be read.
func beforeGuard(t *testing.T, size int) []float32 {
	t.Helper()
	page := syscall.Getpagesize()
	pages := (size*4 + page - 1) / page
	m, err := syscall.Mmap(-1, 0, (pages+1)*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mprotect(m[pages*page:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&m[pages*page-size*4])), size)
}

// A read beyond the queries, the rows or the cuts, or a write beyond the
// results, ends this test's process.
func TestTouchesNothingBeyond(t *testing.T) {
	const most, n = 40, 2 * simd.Block
	q, group := beforeGuard(t, most), beforeGuard(t, most*simd.LargeGroup)
	rows, sizes := beforeGuard(t, n*most), beforeGuard(t, n)
	dots := beforeGuard(t, n*simd.LargeGroup)
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(beforeGuard(t, 2*2*simd.LargeGroup)))), 2*simd.LargeGroup)
	cuts := (*simd.Cuts)(unsafe.Pointer(unsafe.SliceData(beforeGuard(t, 2*simd.LargeGroup))))
	for _, k := range kernels() {
		for dim := 1; dim <= most; dim++ {
			q, group, rows := q[most-dim:], group[(most-dim)*simd.LargeGroup:], rows[n*(most-dim):]
			for i := range rows {
				q[i%dim], group[i%(dim*simd.LargeGroup)], rows[i] = 1, 1, 2
			}
			for _, size := range groupSizes(k) {
				without := simd.LargeGroup - size
				dots, words, group := dots[n*without:], words[2*without:], group[dim*without:]
				clear(dots)
				if size == 1 {
					k.Scan(dots, words, q, simd.Cut{}, rows, sizes, n)
				} else {
					k.ScanGroup(dots, words, group, size, cuts, rows, sizes, n, rows)
				}
				for _, d := range dots {
					if d != float32(2*dim) {
						t.Fatalf("%v, dim %d, group of %d: %v, want %d", k, dim, size, d, 2*dim)
					}
				}
			}
		}
	}
	if simd.Best() == simd.Portable {
		t.Log("only the portable kernel was tested")
	}
}

// The same for rows of codes.
func TestCodesTouchNothingBeyond(t *testing.T) {
	const most, n = 40, 2 * simd.Block
	rows := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(beforeGuard(t, n*most/4)))), n*most)
	marks, dots := beforeGuard(t, n*simd.Marks), beforeGuard(t, n*simd.Group)
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(beforeGuard(t, 2*2*simd.Group)))), 2*simd.Group)
	cuts := (*simd.CodeCuts)(unsafe.Pointer(unsafe.SliceData(beforeGuard(t, 4*simd.Group))))
	for _, k := range kernels() {
		for dim := simd.Quad; dim <= most; dim += simd.Quad {
			rows := rows[n*(most-dim):]
			for i := range rows {
				rows[i] = simd.CodeZero + 2
			}
			numbers := make([]int16, dim)
			for d := range numbers {
				numbers[d] = 2 * simd.CodeStep
			}
			group := simd.NewCodeGroup(dim)
			for j := range simd.Group {
				group.Set(j, simd.NewCodeQuery(numbers))
			}
			k.ScanCodes(dots[n*(simd.Group-1):], words[2*(simd.Group-1):], simd.NewCodeQuery(numbers), simd.CodeCut{}, rows, marks, n)
			k.ScanCodeGroup(dots, words, group, cuts, rows, marks, n)
			for _, d := range dots {
				if d != float32(4*simd.CodeStep*dim) {
					t.Fatalf("%v, dim %d: %v, want %d", k, dim, d, 4*simd.CodeStep*dim)
				}
			}
		}
	}
}
