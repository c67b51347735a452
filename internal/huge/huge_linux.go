package huge

import (
	"syscall"
	"unsafe"
)

// size is that of a huge page. Where it is larger, the kernel does with the
// advice what it can.
const size = 2 << 20

// advise tells the kernel of the whole huge pages within b. It is advice: where it
// is refused, small pages do.
func advise(b []byte) {
	first := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	skip := int((size - first%size) % size)
	if whole := (len(b) - skip) / size * size; whole > 0 {
		_ = syscall.Madvise(b[skip:skip+whole], syscall.MADV_HUGEPAGE)
	}
}
