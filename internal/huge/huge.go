// Package huge makes large slices that are read from one end to the other.
package huge

// Floats is make([]float32, n), in huge pages where the system gives them to
// who asks: a scan of gigabytes otherwise waits for the address of each page of
// 4 kB, and the processor fetches nothing ahead beyond it. They stay whole pages
// of the heap that the collector takes back as any others.
func Floats(n int) []float32 {
	values := make([]float32, n)
	if len(values) > 0 {
		advise(values)
	}
	return values
}
