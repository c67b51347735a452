package simd

// NEON is arm64, all of which has it.
const NEON Kernel = 1

func (k Kernel) large() bool { return false }

func (k Kernel) name() string { return "neon" }
