package huge

import (
	"syscall"
	"unsafe"
)

// size is that of a huge page. Where it is larger, the kernel does with the
// advice what it can.
const size = 2 << 20

// advise tells the kernel of the whole huge pages within values. It is advice:
// where it is refused, small pages do.
func advise(values []float32) {
	first := uintptr(unsafe.Pointer(unsafe.SliceData(values)))
	skip := int((size - first%size) % size)
	if whole := (4*len(values) - skip) / size * size; whole > 0 {
		pages := unsafe.Slice((*byte)(unsafe.Pointer(&values[skip/4])), whole)
		_ = syscall.Madvise(pages, syscall.MADV_HUGEPAGE)
	}
}
