package simd

// Gather copies a row out of its panel: len(dst) values, [Panel] apart, of which the
// first is the panel's. Each is in a cache line of its own, which memory has to be
// asked for: those of next, the row that comes after, meanwhile. It may be empty.
func Gather(dst, panel, next []float32) {
	if len(dst) == 0 {
		return
	}
	size := (len(dst)-1)*Panel + 1
	panel = panel[:size]
	if len(next) < size {
		next = panel
	}
	gather(dst, panel, next[:size])
}
