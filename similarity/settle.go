package similarity

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
)

// settleTogether measures the candidates that are left to several queries in
// the order of the rows: most of the time goes into bringing a panel from memory
// for one of its rows, and so each comes once for all queries that need it. It
// tells whether it did; there may be too many.
func (s *scan) settleTogether(ctx context.Context, searches []search) bool {
	// A due is a number that sorts by its view, then its row; its place among
	// all is the rest.
	const rowAt, viewAt = 24, 24 + 13 // 2^13 rows of a segment
	var dues []uint64
	var queryOf []int32
	firstOf := make([]int, len(searches))
	for i := range searches {
		firstOf[i] = len(dues)
		for _, c := range searches[i].waiting {
			dues = append(dues, uint64(c.view)<<viewAt|uint64(c.row)<<rowAt|uint64(len(dues)))
			queryOf = append(queryOf, int32(i))
		}
	}
	if len(dues) >= 1<<rowAt || len(s.snapshot.views) >= 1<<(64-viewAt) {
		return false
	}
	slices.Sort(dues)
	distances := make([]float64, len(dues))
	place := func(due uint64) (*segment, int) {
		return s.snapshot.views[due>>viewAt].segment, int(due >> rowAt & (1<<(viewAt-rowAt) - 1))
	}
	const some = 64 // that a goroutine takes at a time
	var next atomic.Int64
	s.crew.parallel(s.goroutines((len(dues)+some-1)/some), func(int) {
		buf := make([]float32, s.snapshot.dim)
		for ctx.Err() == nil {
			first := int(next.Add(some)) - some
			if first >= len(dues) {
				return
			}
			end := min(first+some, len(dues))
			for i, d := range dues[first:end] {
				at := d & (1<<rowAt - 1)
				q := &s.queries[queryOf[at]]
				v, row := place(d)
				other, next := place(dues[min(first+i+1, end-1)])
				distances[at] = s.bound.measured.distance(q, v.valuesBefore(buf, row, other, next), math.Inf(1))
			}
		}
	})
	s.each(func(i int, _ []float32) {
		all := &searches[i]
		for j, c := range all.waiting {
			all.best.offer(Hit{s.snapshot.views[c.view].ids[c.row], distances[firstOf[i]+j]})
		}
		all.refined, all.waiting = all.refined+len(all.waiting), nil
	})
	return true
}

// settleApart measures the candidates that are left to the only query, on all
// workers if they are many.
func (s *scan) settleApart(workers []*worker) {
	const many = 64
	all := &workers[0].searches[0]
	n := min(len(workers), len(all.waiting)/many+1)
	if n == 1 {
		all.settle(math.MaxInt)
		return
	}
	// Each has a share of the most promising ones.
	slices.SortFunc(all.waiting, candidate.compare)
	shares := make([][]candidate, n)
	for i, c := range all.waiting {
		shares[i%n] = append(shares[i%n], c)
	}
	for i, share := range shares {
		one := &workers[i].searches[0]
		one.waiting = share
		if i > 0 { // what it knew is in all
			one.best, one.highs, one.refined = topK{k: s.k, radius: s.radius}, nil, 0
		}
	}
	s.crew.parallel(n, func(i int) { workers[i].searches[0].settle(math.MaxInt) })
	for _, other := range workers[1:n] {
		all.merge(&other.searches[0])
	}
}
