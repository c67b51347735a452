// Package huge makes large slices that are read from one end to the other.
package huge

import "unsafe"

// Floats is make([]float32, n), in huge pages where the system gives them to
// who asks: a scan of gigabytes otherwise waits for the address of each page of
// 4 kB, and the processor fetches nothing ahead beyond it. They stay whole pages
// of the heap that the collector takes back as any others.
func Floats(n int) []float32 {
	values := make([]float32, n)
	if n > 0 {
		advise(unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 4*n))
	}
	return values
}

// Bytes is make([]byte, n), as Floats is.
func Bytes(n int) []byte {
	b := make([]byte, n)
	if n > 0 {
		advise(b)
	}
	return b
}
