//go:build !purego

package simd

// lead is how many lines before its turn one is asked for: about as many as memory
// delivers in the time that it takes to answer.
const lead = 64

func gather(dst, panel, next []float32) {
	gatherAhead(&dst[0], &panel[0], &next[0], len(dst), min(lead, len(dst)))
}

//go:noescape
func gatherAhead(dst, panel, next *float32, n, lead int)
