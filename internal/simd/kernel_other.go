//go:build !amd64 && !arm64

package simd

func (k Kernel) large() bool { return false }

func (k Kernel) name() string { return "unknown" }
