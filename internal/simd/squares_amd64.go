//go:build !purego

package simd

// squares does whole vectors of 16 values.
func (k Kernel) squares(q, x []float32) float32 {
	if k == AVX512 {
		return squaresAVX512(&q[0], &x[0], len(q)/16)
	}
	return squaresAVX2(&q[0], &x[0], len(q)/16)
}

//go:noescape
func squaresAVX2(q, x *float32, vectors int) float32

//go:noescape
func squaresAVX512(q, x *float32, vectors int) float32
