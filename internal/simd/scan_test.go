package simd_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace-go/millrace/internal/simd"
)

// collection is n rows in blocks, the queries, and what stands around.
type collection struct {
	dim, n  int
	plain   []float32 // row-major
	rows    []float32
	sizes   []float32
	queries [simd.LargeGroup][]float32
}

func blocksOf(n int) int { return (n + simd.Block - 1) / simd.Block }

// newCollection fills up the last block with NaN, which may not get anywhere.
func newCollection(dim, n int, value func() float32) *collection {
	c := &collection{dim: dim, n: n, plain: make([]float32, n*dim)}
	room := blocksOf(n) * simd.Block
	nan := func() float32 { return float32(math.NaN()) }
	c.rows, c.sizes = among(room*dim, nan), among(room, nan)
	for i := range n {
		c.sizes[i] = float32(math.Abs(float64(value())))
		for d := range dim {
			v := value()
			c.plain[i*dim+d] = v
			c.rows[i/simd.Panel*simd.Panel*dim+d*simd.Panel+i%simd.Panel] = v
		}
	}
	for j := range c.queries {
		c.queries[j] = among(dim, value)
	}
	return c
}

// group is the first queries, packed.
func (c *collection) group(size int) []float32 {
	group := make([]float32, c.dim*size)
	for j, q := range c.queries[:size] {
		simd.PackGroup(group, size, j, q)
	}
	return group
}

// checkScan holds all kernels, one query and groups, against float64. It
// tells how many dot products were finite, and how many rows in and out.
func checkScan(t *testing.T, c *collection, cuts *simd.Cuts) (finite, in, out int) {
	t.Helper()
	const guard = 12345
	blocks := blocksOf(c.n)
	one := func(name string, q []float32, cut simd.Cut, i int, dot float32, bit bool) {
		finite += checkOne(t, name, dot, q, c.plain[i*c.dim:(i+1)*c.dim])
		left := float64(dot) - float64(cut.Slope)*float64(c.sizes[i])
		switch {
		case bit:
			in++
			if float32(left) < cut.Limit {
				t.Fatalf("%s: %v - %v x %v is in, and the limit is %v", name, dot, cut.Slope, c.sizes[i], cut.Limit)
			}
		default:
			out++
			if !(left < float64(cut.Limit)) {
				t.Fatalf("%s: %v - %v x %v is out, and the limit is %v", name, dot, cut.Slope, c.sizes[i], cut.Limit)
			}
		}
	}
	for _, k := range kernels() {
		const margin = 3
		dots, words := make([]float32, blocks*simd.Block*simd.LargeGroup+margin), make([]uint64, blocks*simd.LargeGroup+margin)
		for _, size := range groupSizes(k) {
			for i := range dots {
				dots[i] = guard
			}
			for i := range words {
				words[i] = guard
			}
			if size == 1 {
				k.Scan(dots, words, c.queries[0], simd.Cut{Slope: cuts.Slopes[0], Limit: cuts.Limits[0]}, c.rows, c.sizes, c.n)
			} else {
				k.ScanGroup(dots, words, c.group(size), size, cuts, c.rows, c.sizes, c.n, c.rows)
			}
			for j := range size {
				cut := simd.Cut{Slope: cuts.Slopes[j], Limit: cuts.Limits[j]}
				for i := range blocks * simd.Block {
					at := i/simd.Block*size + j
					bit := words[at]>>(i%simd.Block)&1 != 0
					name := fmt.Sprintf("%v, group of %d, dim %d, row %d of %d, query %d", k, size, c.dim, i, c.n, j)
					if i < c.n {
						one(name, c.queries[j], cut, i, dots[at*simd.Block+i%simd.Block], bit)
					} else if bit {
						t.Fatalf("%s: in", name)
					}
				}
			}
			for i := range margin {
				if dots[blocks*simd.Block*size+i] != guard || words[blocks*size+i] != guard {
					t.Fatalf("%v, dim %d, %d rows: wrote beyond", k, c.dim, c.n)
				}
			}
		}
	}
	return finite, in, out
}

func TestScanEveryLength(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	normal := func() float32 { return float32(rng.NormFloat64()) }
	dims := []int{150, 384, 768, 1024, 4099}
	for d := range 70 {
		dims = append(dims, d+1)
	}
	in, out := 0, 0
	for _, dim := range dims {
		for _, n := range []int{1 + rng.IntN(63), 64, 65 + rng.IntN(130)} {
			var cuts simd.Cuts
			for j := range simd.LargeGroup {
				cuts.Slopes[j], cuts.Limits[j] = normal(), normal()*float32(math.Sqrt(float64(dim)))
			}
			finite, i, o := checkScan(t, newCollection(dim, n, normal), &cuts)
			dots := 0
			for _, k := range kernels() {
				for _, size := range groupSizes(k) {
					dots += n * size
				}
			}
			if finite != dots {
				t.Fatalf("dim %d: overflow of normal values", dim)
			}
			in, out = in+i, out+o
		}
	}
	if in < out/9 || out < in/9 {
		t.Fatalf("%d in and %d out: these cuts tell little", in, out)
	}
}

func TestScanWholeNumbersAreExact(t *testing.T) {
	next := 0
	value := func() float32 { next++; return float32(next%23 - 11) }
	for dim := 1; dim < 200; dim++ {
		c := newCollection(dim, 70, value)
		for _, k := range kernels() {
			dots, words := make([]float32, 2*simd.Block), make([]uint64, 2)
			k.Scan(dots, words, c.queries[1], simd.Cut{Slope: 1, Limit: 5}, c.rows, c.sizes, c.n)
			for i := range c.n {
				var want float32
				for d, v := range c.queries[1] {
					want += v * c.plain[i*dim+d]
				}
				if dots[i] != want || (words[i/64]>>(i%64)&1 != 0) != (want-c.sizes[i] >= 5) {
					t.Fatalf("%v, dim %d, row %d: %v, in %b; want %v, size %v", k, dim, i, dots[i], words[i/64], want, c.sizes[i])
				}
			}
		}
	}
}

func TestScanHardValues(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	signed := func(v float32) float32 { return float32(math.Copysign(float64(v), rng.NormFloat64())) }
	inf := float32(math.Inf(1))
	var never, always simd.Cuts
	for j := range simd.LargeGroup {
		always.Limits[j] = -inf
		never.Slopes[j], never.Limits[j] = 1, inf
	}
	for name, value := range map[string]func() float32{
		"huge":               func() float32 { return signed(1e38) },
		"huge, of one sign":  func() float32 { return 3e38 },
		"near the overflow":  func() float32 { return signed(1e18 + 1e17*rng.Float32()) },
		"denormal":           func() float32 { return signed(math.SmallestNonzeroFloat32 * float32(rng.IntN(1000))) },
		"products underflow": func() float32 { return signed(1e-20 * rng.Float32()) },
		"every size":         func() float32 { return math.Float32frombits(rng.Uint32N(0x5f000000)) },
		"zero":               func() float32 { return signed(0) },
	} {
		for _, dim := range []int{1, 3, 16, 150, 384} {
			c := newCollection(dim, 100, value)
			if _, _, out := checkScan(t, c, &always); out != 0 {
				t.Fatalf("%s, dim %d: %d rows out of what has no limit", name, dim, out)
			}
			checkScan(t, c, &never)
			cuts := simd.Cuts{}
			for j := range simd.LargeGroup {
				cuts.Slopes[j], cuts.Limits[j] = value(), value()
			}
			checkScan(t, c, &cuts)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add(uint16(3), float32(1), float32(0), []byte("twelve bytes and some more for a few rows of three values"))
	f.Add(uint16(1), float32(-2), float32(1e30), []byte{0, 0, 0x80, 0x7f, 0, 0, 0x80, 0xff, 1, 0, 0, 0, 2, 0, 0, 0x80})
	f.Fuzz(func(t *testing.T, d uint16, slope, limit float32, b []byte) {
		var values []float32
		for ; len(b) >= 4; b = b[4:] {
			v := math.Float32frombits(binary.LittleEndian.Uint32(b))
			if v != v || math.IsInf(float64(v), 0) {
				v = 1 // no index holds such
			}
			values = append(values, v)
		}
		if len(values) == 0 || slope != slope || limit != limit {
			return
		}
		next := 0
		value := func() float32 { next++; return values[next%len(values)] }
		cuts := simd.Cuts{}
		for j := range simd.LargeGroup {
			cuts.Slopes[j], cuts.Limits[j] = slope*float32(j), limit-float32(j)
			if cuts.Slopes[j] != cuts.Slopes[j] || math.IsInf(float64(cuts.Slopes[j]), 0) {
				cuts.Slopes[j] = 0
			}
			if cuts.Limits[j] != cuts.Limits[j] {
				cuts.Limits[j] = 0
			}
		}
		checkScan(t, newCollection(int(d)%200+1, 1+len(values)%150, value), &cuts)
	})
}

func BenchmarkScan(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 0))
	normal := func() float32 { return float32(rng.NormFloat64()) }
	for _, dim := range []int{10, 150, 384, 768} {
		const n = 128
		c := newCollection(dim, n, normal)
		var cuts simd.Cuts
		for j := range simd.LargeGroup {
			cuts.Limits[j] = 1e9
		}
		dots, words := make([]float32, n*simd.LargeGroup), make([]uint64, n)
		for _, k := range kernels() {
			b.Run(fmt.Sprintf("%v/%d/1", k, dim), func(b *testing.B) {
				for b.Loop() {
					k.Scan(dots, words, c.queries[0], simd.Cut{Limit: 1e9}, c.rows, c.sizes, n)
				}
				b.ReportMetric(float64(2*n*dim*b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
			for _, size := range groupSizes(k)[1:] {
				group := c.group(size)
				b.Run(fmt.Sprintf("%v/%d/%d", k, dim, size), func(b *testing.B) {
					for b.Loop() {
						k.ScanGroup(dots, words, group, size, &cuts, c.rows, c.sizes, n, nil)
					}
					b.ReportMetric(float64(2*size*n*dim*b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
				})
			}
		}
	}
}
