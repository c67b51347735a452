package simd_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace-go/millrace/internal/simd"
)

// codes are n rows of codes in blocks, the queries, and what stands around.
type codes struct {
	dim, n  int
	plain   []int // row-major, each less CodeZero
	rows    []byte
	marks   []float32
	queries [simd.Group][]int16
}

// newCodes fills up the last block, and the rows' last quads, with codes that
// may not get anywhere.
func newCodes(dim, n int, code func() byte, number func() int16, mark func() float32) *codes {
	size := simd.CodeSize(dim)
	room := blocksOf(n) * simd.Block
	c := &codes{dim: dim, n: n, plain: make([]int, n*dim), rows: make([]byte, room*size)}
	for i := range c.rows {
		c.rows[i] = 255
	}
	c.marks = among(room*simd.Marks, func() float32 { return float32(math.NaN()) })
	for i := range n {
		for m := range simd.Marks {
			c.marks[simd.MarkAt(i)+m*simd.Panel] = float32(math.Abs(float64(mark())))
		}
		for d := range dim {
			v := code()
			c.plain[i*dim+d] = int(v) - simd.CodeZero
			c.rows[simd.CodeAt(i, size)+d/simd.Quad*simd.Quad*simd.Panel+d%simd.Quad] = v
		}
	}
	for j := range c.queries {
		c.queries[j] = make([]int16, dim)
		for d := range dim {
			c.queries[j][d] = number()
		}
	}
	return c
}

// checkCodes holds all kernels, one query and groups, against whole numbers.
// It tells how many rows were in and out.
func checkCodes(t *testing.T, c *codes, cuts *simd.CodeCuts) (in, out int) {
	t.Helper()
	const guard = 12345
	blocks := blocksOf(c.n)
	group, upper := simd.NewCodeGroup(simd.CodeSize(c.dim)), c.queries
	for j, q := range c.queries {
		upper[j] = make([]int16, len(q))
		for d, v := range q {
			upper[j][d] = v / simd.CodeStep * simd.CodeStep
		}
		group.Set(j, simd.NewCodeQuery(upper[j]))
	}
	cut := func(j int) simd.CodeCut {
		return simd.CodeCut{Factor: cuts.Factors[j], Reach: cuts.Reaches[j], Slope: cuts.Slopes[j], Limit: cuts.Limits[j]}
	}
	check := func(name string, query []int16, j, i int, dot float32, bit bool) {
		sum, upper, lower := 0, 0.0, 0.0
		for d, v := range query {
			x := c.plain[i*c.dim+d]
			sum += int(v) * x
			up := (int(v) + 64) >> 7
			upper, lower = upper+float64(128*up*x), lower+float64((int(v)-128*up)*x)
		}
		want := float64(sum)
		off := 0x1p-24 * math.Abs(want)
		if c.dim >= 2048 {
			off = 0x1p-22 * (math.Abs(upper) + math.Abs(lower))
		}
		if math.Abs(float64(dot)-want) > off {
			t.Fatalf("%s: %v, want %v", name, dot, want)
		}
		m := func(k int) float64 { return float64(c.marks[simd.MarkAt(i)+k*simd.Panel]) }
		terms := [3]float64{float64(cuts.Factors[j]) * m(0) * float64(dot), float64(cuts.Reaches[j]) * m(1), -float64(cuts.Slopes[j]) * m(2)}
		left := terms[0] + terms[1] + terms[2]
		off = 0x1p-22*(math.Abs(terms[0])+math.Abs(terms[1])+math.Abs(terms[2])) + 0x1p-120
		switch limit := float64(cuts.Limits[j]); {
		case bit:
			in++
			if left < limit-off {
				t.Fatalf("%s: %v is in, and the limit is %v", name, left, limit)
			}
		default:
			out++
			if !(left < limit+off) {
				t.Fatalf("%s: %v is out, and the limit is %v", name, left, limit)
			}
		}
	}
	for _, k := range kernels() {
		const margin = 3
		dots, words := make([]float32, blocks*simd.Block*simd.Group+margin), make([]uint64, blocks*simd.Group+margin)
		for _, single := range []bool{true, false} {
			for i := range dots {
				dots[i] = guard
			}
			for i := range words {
				words[i] = guard
			}
			size, queries := simd.Group, upper
			if single {
				size, queries = 1, c.queries
				k.ScanCodes(dots, words, simd.NewCodeQuery(c.queries[0]), cut(0), c.rows, c.marks, c.n)
			} else {
				k.ScanCodeGroup(dots, words, group, cuts, c.rows, c.marks, c.n)
			}
			for j := range size {
				for i := range blocks * simd.Block {
					at := i/simd.Block*size + j
					bit := words[at]>>(i%simd.Block)&1 != 0
					name := fmt.Sprintf("%v, single %v, dim %d, row %d of %d, query %d", k, single, c.dim, i, c.n, j)
					if i < c.n {
						check(name, queries[j], j, i, dots[at*simd.Block+i%simd.Block], bit)
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
	return in, out
}

func TestCodesEveryLength(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	normal := func() float32 { return float32(rng.NormFloat64()) }
	code := func() byte { return byte(1 + rng.IntN(255)) }
	number := func() int16 { return int16(rng.IntN(2*simd.CodeQueryMost+1) - simd.CodeQueryMost) }
	dims := []int{150, 384, 768, 1024, 2047, 4099}
	for d := range 70 {
		dims = append(dims, d+1)
	}
	in, out := 0, 0
	for _, dim := range dims {
		for _, n := range []int{1 + rng.IntN(63), 64, 65 + rng.IntN(130)} {
			var cuts simd.CodeCuts
			for j := range simd.Group {
				cuts.Set(j, simd.CodeCut{Factor: normal() / float32(math.Sqrt(float64(dim))) / 3e5, Reach: normal(), Slope: normal(), Limit: normal()})
			}
			i, o := checkCodes(t, newCodes(dim, n, code, number, normal), &cuts)
			in, out = in+i, out+o
		}
	}
	if in < out/9 || out < in/9 {
		t.Fatalf("%d in and %d out: these cuts tell little", in, out)
	}
}

// The largest codes and numbers there are, of all signs: where sums would be
// cut off, or wrap.
func TestCodesAtTheirEnds(t *testing.T) {
	for _, dim := range []int{1, 4, 7, 768, 4096, simd.MaxCodes} {
		for _, ends := range [][2]int{{1, simd.CodeQueryMost}, {255, simd.CodeQueryMost}, {1, -simd.CodeQueryMost}, {255, -simd.CodeQueryMost}, {0, -simd.CodeQueryMost}} {
			var cuts simd.CodeCuts
			code, number := func() byte { return byte(ends[0]) }, func() int16 { return int16(ends[1]) }
			rows := 65
			if dim > 4096 {
				rows = 1
			}
			checkCodes(t, newCodes(dim, rows, code, number, func() float32 { return 1 }), &cuts)
		}
	}
}

// Every code and every upper part that meet.
func TestCodesOfAllValues(t *testing.T) {
	next := 0
	code, number := func() byte { next++; return byte(next) }, 0
	for number < 2*simd.CodeQueryMost {
		numbers := func() int16 { number++; return int16(number%(2*simd.CodeQueryMost+1) - simd.CodeQueryMost) }
		checkCodes(t, newCodes(301, 64, code, numbers, func() float32 { return 1 }), &simd.CodeCuts{})
	}
}

func FuzzCodes(f *testing.F) {
	f.Add(uint16(3), float32(1), float32(0), float32(2), float32(7), []byte("some bytes for a few rows of three codes"))
	f.Fuzz(func(t *testing.T, d uint16, factor, reach, slope, limit float32, b []byte) {
		for _, v := range []float32{factor, reach, slope, limit} {
			if v != v || math.Abs(float64(v)) > 1e20 {
				return // no bound makes such
			}
		}
		if len(b) < 4 {
			return
		}
		next := 0
		code := func() byte { next++; return b[next%len(b)] }
		number := func() int16 {
			return int16(int(binary.LittleEndian.Uint16([]byte{code(), code()}))%(2*simd.CodeQueryMost+1) - simd.CodeQueryMost)
		}
		var cuts simd.CodeCuts
		for j := range simd.Group {
			cuts.Set(j, simd.CodeCut{Factor: factor * float32(j), Reach: reach, Slope: slope, Limit: limit - float32(j)})
		}
		checkCodes(t, newCodes(int(d)%200+1, 1+len(b)%150, code, number, func() float32 { return float32(code()) / 16 }), &cuts)
	})
}

func BenchmarkCodes(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 0))
	for _, dim := range []int{150, 384, 768} {
		const n = 128
		c := newCodes(dim, n, func() byte { return byte(1 + rng.IntN(255)) }, func() int16 { return int16(rng.IntN(8000)) }, func() float32 { return 1 })
		group := simd.NewCodeGroup(simd.CodeSize(dim))
		var cuts simd.CodeCuts
		for j, q := range c.queries {
			group.Set(j, simd.NewCodeQuery(q))
			cuts.Limits[j] = 1e30
		}
		q := simd.NewCodeQuery(c.queries[0])
		dots, words := make([]float32, n*simd.Group), make([]uint64, n*simd.Group)
		for _, k := range kernels() {
			b.Run(fmt.Sprintf("%v/%d/1", k, dim), func(b *testing.B) {
				for b.Loop() {
					k.ScanCodes(dots, words, q, simd.CodeCut{Limit: 1e30}, c.rows, c.marks, n)
				}
				b.ReportMetric(float64(n*dim*b.N)/float64(b.Elapsed().Nanoseconds()), "codes/ns")
			})
			b.Run(fmt.Sprintf("%v/%d/%d", k, dim, simd.Group), func(b *testing.B) {
				for b.Loop() {
					k.ScanCodeGroup(dots, words, group, &cuts, c.rows, c.marks, n)
				}
				b.ReportMetric(float64(simd.Group*n*dim*b.N)/float64(b.Elapsed().Nanoseconds()), "codes/ns")
			})
		}
	}
}
