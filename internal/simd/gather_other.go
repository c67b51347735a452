//go:build !amd64 || purego

package simd

func gather(dst, panel, _ []float32) {
	for i := range dst {
		dst[i] = panel[i*Panel]
	}
}
