package similarity

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
)

const (
	// tileValues is how many values of rows are compared with every query
	// before the next ones: few enough that they stay in the fastest cache
	// meanwhile. tileRows is the most rows of a tile.
	tileValues = 6 << 10
	tileRows   = 128
	// chunk is how many pairs of values a goroutine takes at a time, about
	// 50 us of work. Only if there are more is a second one worth waking.
	chunk = 1 << 20
)

// scan compares the queries with all rows. Goroutines take the rows chunk by
// chunk, each with its own k best of every query; the caller holds the lock.
// What kernel does is never seen in the answers.
func (x *Index) scan(ctx context.Context, kernel simd.Kernel, queries []vector.Vector, k int) ([][]Hit, error) {
	n := len(x.ids)
	k = min(k, n)
	qs := make([]query, len(queries))
	for i, q := range queries {
		qs[i] = newQuery(q.Values)
	}
	filter := x.newFilter(kernel)
	tile := max(4, min(tileRows, tileValues/max(1, x.dim))) &^ 3
	rows := max(tile, chunk/max(1, x.dim*len(queries))) / tile * tile
	chunks := (n + rows - 1) / rows
	best := make([][]topK, min(runtime.GOMAXPROCS(0), max(1, chunks)))
	var next atomic.Int64
	work := func(w int) {
		best[w] = make([]topK, len(queries))
		for i := range best[w] {
			best[w][i].k = k
		}
		for {
			lo := (int(next.Add(1)) - 1) * rows
			if lo >= n || ctx.Err() != nil {
				return
			}
			x.scanRows(filter, qs, best[w], lo, min(lo+rows, n), tile)
		}
	}
	var wg sync.WaitGroup
	for w := 1; w < len(best); w++ {
		wg.Go(func() { work(w) })
	}
	work(0)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	hits := make([][]Hit, len(queries))
	for i := range hits {
		all := &best[0][i]
		for _, other := range best[1:] {
			for _, h := range other[i].heap {
				all.offer(h)
			}
		}
		hits[i] = all.sorted()
	}
	return hits, nil
}

// query is a query's values, in both precisions, and the square of its length.
type query struct {
	single []float32
	values []float64
	square float64
}

func newQuery(values []float32) query {
	return query{values, appendFloat64s(make([]float64, 0, len(values)), values), dot(values, values)}
}

// scanRows offers rows lo to hi to every query's best, but for those that the
// filter keeps away.
func (x *Index) scanRows(f filter, qs []query, best []topK, lo, hi, tile int) {
	var dots [2][tileRows]float32
	for ; lo < hi; lo += tile {
		end := min(lo+tile, hi)
		n := end - lo
		rows := x.rows[lo*x.dim : end*x.dim]
		for i := 0; i < len(qs); i += 2 {
			if i+1 == len(qs) {
				f.kernel.Dots(dots[0][:n], qs[i].single, rows)
			} else {
				f.kernel.Dots2(dots[0][:n], dots[1][:n], qs[i].single, qs[i+1].single, rows)
				x.offerRows(f, &qs[i+1], &best[i+1], dots[1][:n], lo)
			}
			x.offerRows(f, &qs[i], &best[i], dots[0][:n], lo)
		}
	}
}

// offerRows offers the rows from lo on, whose dot products with the query are
// dots, but for rounding.
func (x *Index) offerRows(f filter, q *query, b *topK, dots []float32, lo int) {
	worst, limit := b.worst(), b.worstSquare()
	cut := f.cut(q, worst, limit)
	sizes := x.sizes[lo : lo+len(dots)]
	for i, dot := range dots {
		if cut.keepsAway(sizes[i], dot) {
			continue
		}
		row := lo + i
		if d := x.distance(q, x.rows[row*x.dim:(row+1)*x.dim], limit); d <= worst {
			b.offer(Hit{x.ids[row], d})
			worst, limit = b.worst(), b.worstSquare()
			cut = f.cut(q, worst, limit)
		}
	}
}

// distance is the metric's, in float64. If its square exceeds limit it may be
// +Inf.
func (x *Index) distance(q *query, values []float32, limit float64) float64 {
	if x.metric == Cosine {
		return cosineDistance(dot(q.values, values), q.square, dot(values, values))
	}
	sum := sumSquares(q.values, values, limit)
	if sum > limit {
		return math.Inf(1)
	}
	return math.Sqrt(sum)
}

// sumSquares is sum((q-x)^2). It may give up with a part of the sum once that
// exceeds limit: the terms are not negative, so the whole would too.
func sumSquares(q []float64, x []float32, limit float64) float64 {
	const block = 32
	q = q[:len(x)]
	var s0, s1, s2, s3 float64
	for len(x) >= block {
		xb, qb := (*[block]float32)(x), (*[block]float64)(q)
		for i := 0; i < block; i += 4 {
			d0 := qb[i] - float64(xb[i])
			d1 := qb[i+1] - float64(xb[i+1])
			d2 := qb[i+2] - float64(xb[i+2])
			d3 := qb[i+3] - float64(xb[i+3])
			s0 += d0 * d0
			s1 += d1 * d1
			s2 += d2 * d2
			s3 += d3 * d3
		}
		x, q = x[block:], q[block:]
		if sum := s0 + s1 + s2 + s3; sum > limit {
			return sum
		}
	}
	for i, v := range x {
		d := q[i] - float64(v)
		s0 += d * d
	}
	return s0 + s1 + s2 + s3
}

// dot is sum(q*x). Its order of adding is that of sumSquares.
func dot[Q float32 | float64](q []Q, x []float32) float64 {
	q = q[:len(x)]
	var s0, s1, s2, s3 float64
	for len(x) >= 4 {
		s0 += float64(q[0]) * float64(x[0])
		s1 += float64(q[1]) * float64(x[1])
		s2 += float64(q[2]) * float64(x[2])
		s3 += float64(q[3]) * float64(x[3])
		x, q = x[4:], q[4:]
	}
	for i, v := range x {
		s0 += float64(q[i]) * float64(v)
	}
	return s0 + s1 + s2 + s3
}

func appendFloat64s(dst []float64, src []float32) []float64 {
	for _, v := range src {
		dst = append(dst, float64(v))
	}
	return dst
}
