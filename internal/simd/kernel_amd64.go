package simd

const (
	// AVX2 is amd64 with AVX2 and FMA.
	AVX2 Kernel = 1
	// AVX512 is amd64 with AVX-512 F besides.
	AVX512 Kernel = 2
)

// large tells whether the kernel takes a LargeGroup at a time.
func (k Kernel) large() bool { return k == AVX512 }

func (k Kernel) name() string {
	if k == AVX2 {
		return "avx2"
	}
	return "avx512"
}
