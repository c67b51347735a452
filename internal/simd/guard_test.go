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

// A read beyond the query or the rows ends this test's process.
func TestReadsNothingBeyond(t *testing.T) {
	const most, n = 70, 5
	q, rows := beforeGuard(t, most), beforeGuard(t, n*most)
	dst := beforeGuard(t, n)
	for _, k := range kernels() {
		for dim := 1; dim <= most; dim++ {
			q, rows := q[most-dim:], rows[n*(most-dim):]
			for i := range rows {
				q[i%dim], rows[i] = 1, 2
			}
			k.Dots(dst, q, rows)
			k.Dots2(dst, dst, q, q, rows)
			for _, d := range dst {
				if d != float32(2*dim) {
					t.Fatalf("%v, dim %d: %v, want %d", k, dim, d, 2*dim)
				}
			}
		}
	}
	if simd.Best() == simd.Portable {
		t.Log("only the portable kernel was tested")
	}
}
