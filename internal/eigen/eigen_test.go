package eigen_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/millrace-go/millrace/internal/eigen"
	"github.com/millrace-go/millrace/internal/simd"
)

// matrix makes one of given values: value(i, j) for j >= i.
func matrix(n int, value func(i, j int) float64) []float64 {
	a := make([]float64, n*n)
	for i := range n {
		for j := i; j < n; j++ {
			a[i*n+j] = value(i, j)
			a[j*n+i] = a[i*n+j]
		}
	}
	return a
}

// turned has the given eigenvalues, in a random basis.
func turned(seed uint64, values []float64) []float64 {
	n := len(values)
	rng := rand.New(rand.NewPCG(seed, 0))
	g := mat.NewDense(n, n, nil)
	for i := range n {
		for j := range n {
			g.Set(i, j, rng.NormFloat64())
		}
	}
	var qr mat.QR
	qr.Factorize(g)
	var q, qd, a mat.Dense
	qr.QTo(&q)
	qd.Mul(&q, mat.NewDiagDense(n, values))
	a.Mul(&qd, q.T())
	return matrix(n, func(i, j int) float64 { return (a.At(i, j) + a.At(j, i)) / 2 })
}

func matrices() map[string][]float64 {
	rng := rand.New(rand.NewPCG(9, 0))
	m := map[string][]float64{
		"one value":       {3},
		"two values":      matrix(2, func(i, j int) float64 { return float64(i + j) }),
		"zero":            make([]float64, 25),
		"identity":        matrix(20, func(i, j int) float64 { return float64(1 - min(j-i, 1)) }),
		"diagonal":        matrix(30, func(i, j int) float64 { return float64(i%4) * float64(1-min(j-i, 1)) }),
		"ones":            matrix(40, func(i, j int) float64 { return 1 }), // of rank 1
		"random":          matrix(150, func(i, j int) float64 { return rng.NormFloat64() }),
		"large":           matrix(401, func(i, j int) float64 { return rng.NormFloat64() }), // enough for two goroutines
		"minus":           turned(1, []float64{-1, -2, -3, -1e-9}),
		"two blocks":      matrix(16, func(i, j int) float64 { return float64(1-min(j/8-i/8, 1)) / float64(1+j%8-i%8+8*(j/8-i/8)) }),
		"tiny":            matrix(50, func(i, j int) float64 { return 1e-80 * rng.NormFloat64() }),
		"huge":            matrix(50, func(i, j int) float64 { return 1e70 * rng.NormFloat64() }),
		"Wilkinson's 21+": matrix(21, func(i, j int) float64 { return map[int]float64{0: math.Abs(float64(i - 10)), 1: 1}[j-i] }),
	}
	decay, pairs, low, equal := make([]float64, 130), make([]float64, 100), make([]float64, 200), make([]float64, 90)
	for i := range decay {
		decay[i] = math.Pow(0.8, float64(i)) // to 3e-13
	}
	for i := range pairs {
		pairs[i] = float64(i/2) + 1e-13*float64(i%2)
	}
	for i := range 7 {
		low[i] = float64(i + 1) // the others are 0
	}
	for i := range equal {
		equal[i] = 5
	}
	m["decaying"], m["close pairs"], m["low rank"], m["all equal"] = turned(2, decay), turned(3, pairs), turned(4, low), turned(5, equal)
	return m
}

func TestEqualsGonum(t *testing.T) {
	for name, a := range matrices() {
		n := int(math.Sqrt(float64(len(a))))
		var want mat.EigenSym
		if !want.Factorize(mat.NewSymDense(n, slices.Clone(a)), true) {
			t.Fatal(name)
		}
		values := want.Values(nil)
		slices.Reverse(values)
		size := max(math.Abs(values[0]), math.Abs(values[n-1]))
		for _, k := range []simd.Kernel{simd.Portable, simd.Best()} {
			t.Run(fmt.Sprintf("%s/%v", name, k), func(t *testing.T) {
				s, err := eigen.Factorize(slices.Clone(a), n, k)
				if err != nil {
					t.Fatal(err)
				}
				vectors, err := s.Vectors(n)
				if err != nil {
					t.Fatal(err)
				}
				tolerance := 1e-12 * size * math.Sqrt(float64(n))
				for i := range n {
					if math.Abs(s.Value(i)-values[i]) > tolerance {
						t.Fatalf("eigenvalue %d is %v, want %v", i, s.Value(i), values[i])
					}
					v := mat.NewVecDense(n, vectors[i*n:(i+1)*n])
					var r mat.VecDense
					r.MulVec(mat.NewDense(n, n, a), v)
					r.AddScaledVec(&r, -values[i], v)
					if got := r.Norm(2); got > tolerance {
						t.Fatalf("vector %d: A v differs from its value times v by %g of %g", i, got, size)
					}
					for j := range i + 1 {
						want := 0.0
						if j == i {
							want = 1
						}
						if dot := mat.Dot(v, mat.NewVecDense(n, vectors[j*n:(j+1)*n])); math.Abs(dot-want) > 1e-9 {
							t.Fatalf("the product of vectors %d and %d is %v", i, j, dot)
						}
					}
				}
			})
		}
	}
}

// A fit must not depend on the machine it ran on.
func TestSameBits(t *testing.T) {
	const n, count = 333, 37
	rng := rand.New(rand.NewPCG(11, 0))
	a := matrix(n, func(i, j int) float64 { return rng.NormFloat64() })
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var want []float64
	for k := simd.Portable; k <= simd.Best(); k++ {
		for _, threads := range []int{1, 3} {
			runtime.GOMAXPROCS(threads)
			s, err := eigen.Factorize(slices.Clone(a), n, k)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Vectors(count)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v with %d threads gives other bits", k, threads)
			}
			if few, err := s.Vectors(5); err != nil || !slices.Equal(few, want[:5*n]) {
				t.Errorf("%v: five vectors are not the first five, %v", k, err)
			}
		}
	}
}

func TestNotFinite(t *testing.T) {
	a := matrix(4, func(i, j int) float64 { return 1 })
	a[6], a[9] = math.NaN(), math.NaN()
	if _, err := eigen.Factorize(a, 4, simd.Best()); err == nil || !strings.Contains(err.Error(), "not finite") {
		t.Errorf("error %v", err)
	}
}

func BenchmarkEigen(b *testing.B) {
	const n = 768
	rng := rand.New(rand.NewPCG(1, 0))
	values := make([]float64, n)
	for i := range values {
		values[i] = (1 + 0.1*rng.Float64()) / float64(i+1)
	}
	a := turned(1, values)
	for k := simd.Portable; k <= simd.Best(); k++ {
		b.Run(fmt.Sprintf("%v/values", k), func(b *testing.B) {
			for b.Loop() {
				if _, err := eigen.Factorize(slices.Clone(a), n, k); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%v/150 vectors", k), func(b *testing.B) {
			s, err := eigen.Factorize(slices.Clone(a), n, k)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.Vectors(150); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
