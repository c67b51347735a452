package simd_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace-go/millrace/internal/simd"
)

func TestSquares(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	normal := func() float32 { return float32(rng.NormFloat64()) }
	for name, value := range map[string]func() float32{
		"normal":   normal,
		"close":    func() float32 { return 1 + 1e-6*normal() },
		"denormal": func() float32 { return 1e-22 * normal() },
		"huge":     func() float32 { return 1e30 * normal() },
	} {
		for n := range 200 {
			q, x := beforeGuard(t, n+1)[1:], beforeGuard(t, n+1)[1:]
			want := 0.0
			for i := range q {
				q[i], x[i] = value(), value()
				d := float64(q[i]) - float64(x[i])
				want += d * d
			}
			relative, absolute := simd.Bound(n + 8)
			for _, k := range kernels() {
				got := float64(k.Squares(q, x))
				if math.IsInf(got, 0) {
					if want < math.MaxFloat32/2 {
						t.Fatalf("%v, %s, %d values: %v, want %v", k, name, n, got, want)
					}
				} else if !(math.Abs(got-want) <= relative*want+absolute) {
					t.Fatalf("%v, %s, %d values: %v, want %v: off by %g of %g", k, name, n, got, want, math.Abs(got-want), relative*want+absolute)
				}
			}
		}
	}
}
