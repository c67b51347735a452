package similarity

import (
	"context"
	"math"
	"runtime"
	"sync"

	"github.com/millrace-go/millrace/similarity/vector"
)

const (
	// tile is how many rows are compared with every query before the next rows:
	// few enough that they stay in the cache meanwhile.
	tile = 64
	// workPerGoroutine is how many pairs of values are worth a goroutine:
	// about 0.1 ms.
	workPerGoroutine = 1 << 17
	// ahead is how many rows before its turn a row is fetched from memory.
	ahead = 4
)

// scan compares the queries with all rows. The rows are split among
// goroutines, each with its own k best of every query; the caller holds the lock.
func (x *Index) scan(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error) {
	n := len(x.ids)
	k = min(k, n)
	qs := make([]query, len(queries))
	for i, q := range queries {
		qs[i].values = appendFloat64s(make([]float64, 0, x.dim), q.Values)
		qs[i].square = dot(qs[i].values, q.Values)
	}
	workers := min(runtime.GOMAXPROCS(0), 1+n*x.dim*len(queries)/workPerGoroutine)
	best := make([][]topK, workers)
	var wg sync.WaitGroup
	for w := range workers {
		best[w] = make([]topK, len(queries))
		for i := range best[w] {
			best[w][i].k = k
		}
		lo, hi := n*w/workers, n*(w+1)/workers
		if w == workers-1 {
			x.scanRows(ctx, qs, best[w], lo, hi)
			continue
		}
		wg.Go(func() { x.scanRows(ctx, qs, best[w], lo, hi) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	hits := make([][]Hit, len(queries))
	for i := range hits {
		all := &best[0][i]
		for w := 1; w < workers; w++ {
			for _, h := range best[w][i].heap {
				all.offer(h)
			}
		}
		hits[i] = all.sorted()
	}
	return hits, nil
}

// query is a query's values, and the square of its length.
type query struct {
	values []float64
	square float64
}

// scanRows offers rows lo to hi to every query's best.
func (x *Index) scanRows(ctx context.Context, qs []query, best []topK, lo, hi int) {
	var fetched float32
	defer func() { runtime.KeepAlive(fetched) }()
	for ; lo < hi; lo += tile {
		if ctx.Err() != nil {
			return
		}
		for i, q := range qs {
			b := &best[i]
			worst, limit := b.worst(), b.worstSquare()
			for row := lo; row < min(lo+tile, hi); row++ {
				if i == 0 && row+ahead < hi {
					fetched += fetch(x.rows[(row+ahead)*x.dim : (row+ahead+1)*x.dim])
				}
				values := x.rows[row*x.dim : (row+1)*x.dim]
				var d float64
				if x.metric == Cosine {
					d = cosineDistance(dot(q.values, values), q.square, x.squares[row])
				} else {
					sum := sumSquares(q.values, values, limit)
					if sum > limit {
						continue
					}
					d = math.Sqrt(sum)
				}
				if d <= worst {
					b.offer(Hit{x.ids[row], d})
					worst, limit = b.worst(), b.worstSquare()
				}
			}
		}
	}
}

// fetch reads a value of each cache line of a row. Scanning alone would read
// only the first part of most rows (see sumSquares), and such jumps defeat the
// processor's own prefetching; twice as fast for a single query.
func fetch(x []float32) (sum float32) {
	const line = 16
	for i := 0; i < len(x); i += line {
		sum += x[i]
	}
	return sum
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
func dot(q []float64, x []float32) float64 {
	q = q[:len(x)]
	var s0, s1, s2, s3 float64
	for len(x) >= 4 {
		s0 += q[0] * float64(x[0])
		s1 += q[1] * float64(x[1])
		s2 += q[2] * float64(x[2])
		s3 += q[3] * float64(x[3])
		x, q = x[4:], q[4:]
	}
	for i, v := range x {
		s0 += q[i] * float64(v)
	}
	return s0 + s1 + s2 + s3
}

func appendFloat64s(dst []float64, src []float32) []float64 {
	for _, v := range src {
		dst = append(dst, float64(v))
	}
	return dst
}
