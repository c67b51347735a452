package simd

// Squares computes sum((q-x)^2) of vectors of one length. If it is finite, it is
// within relative S + absolute of the true sum S: see [Bound], for 8 values more,
// as a difference is rounded before its square is, and partial sums are added.
func (k Kernel) Squares(q, x []float32) float32 {
	x = x[:len(q)]
	n := 0
	var sum float32
	if k != Portable && len(q) >= 16 {
		n = len(q) &^ 15
		sum = k.squares(q[:n], x[:n])
	}
	var sums [4]float32
	for i, v := range q[n:] {
		d := v - x[n+i]
		sums[i%4] += d * d
	}
	return sum + ((sums[0] + sums[1]) + (sums[2] + sums[3]))
}
