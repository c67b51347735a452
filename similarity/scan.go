package similarity

import (
	"context"
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/millrace-go/millrace/internal/simd"
)

const (
	// tileValues is how many values of rows are compared with every query
	// before the next ones: few enough that they stay in a core's own cache
	// meanwhile. tileBlocks is the most blocks of a tile.
	tileValues = 48 << 10
	tileBlocks = 16
	// unitWork is how many pairs of values a goroutine takes at a time, about
	// 50 us of work. Only if there are more is a second one worth waking.
	unitWork = 1 << 21
)

// goal is what a search looks for, and how. What kernel does is never seen in
// the answers.
type goal struct {
	k       int
	nearest bool                 // the k nearest are wanted, else all within radius
	radius  float64              // +Inf if the k nearest are wanted
	keep    func(id string) bool // nil keeps all
	budget  int                  // how many rows may be measured a query; 0 is no bound
	kernel  simd.Kernel
}

func nearestGoal(k int) goal {
	return goal{k: k, nearest: true, radius: math.Inf(1), kernel: simd.Best()}
}

func withinGoal(radius float64) goal {
	return goal{k: math.MaxInt, radius: radius, kernel: simd.Best()}
}

// scan is one search of a snapshot, for several queries.
type scan struct {
	goal
	snapshot *snapshot
	bound    bound
	queries  []query

	shared []atomicMin
	groups [][]float32 // the queries, packed, unless there is only one
	units  []unit
	next   atomic.Int64
}

// unit is a run of blocks that one goroutine takes.
type unit struct{ view, first, end int }

// answer is what is found for a query.
type answer struct {
	hits    []Hit
	refined int  // rows measured
	proved  bool // nothing was left out for want of budget
}

// run answers the queries. Goroutines take the rows unit by unit, and then
// the queries one by one.
func (s *scan) run(ctx context.Context) ([]answer, error) {
	s.shared = make([]atomicMin, len(s.queries))
	for i := range s.shared {
		s.shared[i].set(s.bound.score(s.radius))
	}
	s.pack()
	s.divide()
	workers := make([]*worker, min(runtime.GOMAXPROCS(0), max(1, len(s.units))))
	parallel(len(workers), func(w int) {
		workers[w] = s.newWorker()
		for ctx.Err() == nil {
			i := int(s.next.Add(1)) - 1
			if i >= len(s.units) {
				return
			}
			workers[w].scanUnit(s.units[i])
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answers := make([]answer, len(s.queries))
	s.next.Store(0)
	parallel(min(len(workers), len(s.queries)), func(w int) {
		for ctx.Err() == nil {
			i := int(s.next.Add(1)) - 1
			if i >= len(s.queries) {
				return
			}
			all := &workers[0].searches[i]
			for _, other := range workers[1:] {
				all.merge(&other.searches[i])
			}
			all.highest, all.buf = all.shared.load(), workers[w].buf
			all.settle()
			// What is found may have set the bar below what was dropped.
			proved := math.IsInf(all.dropped, 1) || all.dropped > all.shared.load()
			answers[i] = answer{all.best.sorted(), all.refined, proved}
		}
	})
	return answers, ctx.Err()
}

// parallel calls f with 0 to n-1, each in a goroutine, the first in this one.
func parallel(n int, f func(int)) {
	var wg sync.WaitGroup
	for i := 1; i < n; i++ {
		wg.Go(func() { f(i) })
	}
	f(0)
	wg.Wait()
}

// pack makes the groups. The last one is filled up with zeros.
func (s *scan) pack() {
	if len(s.queries) == 1 {
		return
	}
	width := s.snapshot.width
	s.groups = make([][]float32, (len(s.queries)+simd.Group-1)/simd.Group)
	for g := range s.groups {
		s.groups[g] = make([]float32, width*simd.Group)
		for j := range min(simd.Group, len(s.queries)-g*simd.Group) {
			simd.PackGroup(s.groups[g], j, s.queries[g*simd.Group+j].scanned)
		}
	}
}

// divide makes the units.
func (s *scan) divide() {
	blocks := max(1, unitWork/(simd.Block*s.snapshot.width*len(s.queries)))
	for i, v := range s.snapshot.views {
		end := (v.rows + simd.Block - 1) / simd.Block
		for first := 0; first < end; first += blocks {
			s.units = append(s.units, unit{i, first, min(first+blocks, end)})
		}
	}
}

// worker is one goroutine's part of a scan.
type worker struct {
	*scan
	searches []search
	cuts     []simd.Cuts // of each group
	cutFor   []float64   // of each query: what highest the cut is for
	view     int         // that the cuts are for
	dots     []float32
	in       []uint64
	buf      []float32 // a row
}

func (s *scan) newWorker() *worker {
	w := &worker{scan: s, view: -1, searches: make([]search, len(s.queries)), cutFor: make([]float64, len(s.queries))}
	w.buf = make([]float32, s.snapshot.width)
	for i := range w.searches {
		w.searches[i] = search{
			scan: s, q: &s.queries[i], shared: &s.shared[i], highest: s.shared[i].load(),
			best: topK{k: s.k, radius: s.radius}, dropped: math.Inf(1), buf: w.buf,
		}
	}
	group := 1
	if s.groups != nil {
		group = simd.Group
	}
	w.cuts = make([]simd.Cuts, max(1, len(s.groups)))
	for g := range w.cuts {
		for j := range simd.Group { // places without a query: nothing is in
			w.cuts[g].Limits[j] = float32(math.Inf(1))
		}
	}
	w.dots, w.in = make([]float32, tileBlocks*simd.Block*group), make([]uint64, tileBlocks*group)
	return w
}

// scanUnit offers the unit's rows to every search.
func (w *worker) scanUnit(u unit) {
	v := &w.snapshot.views[u.view]
	width := w.snapshot.width
	tile := min(max(1, tileValues/(simd.Block*width)), tileBlocks)
	for first := u.first; first < u.end; {
		size := tile
		if math.IsInf(w.searches[0].highest, 1) {
			size = 1 // with nothing to beat, every row is in
		}
		end := min(first+size, u.end)
		n := min(end*simd.Block, v.rows) - first*simd.Block
		rows := v.panels[first*simd.Block*width : end*simd.Block*width]
		rough := v.rough[first*simd.Block : end*simd.Block]
		if w.groups == nil {
			w.cutFirst(0, 1, u.view)
			cut := simd.Cut{Slope: w.cuts[0].Slopes[0], Limit: w.cuts[0].Limits[0]}
			w.kernel.Scan(w.dots, w.in, w.queries[0].scanned, cut, rows, rough, n)
			w.offer(u.view, first, 0, 1, 1, (n+simd.Block-1)/simd.Block)
		}
		for g, group := range w.groups {
			at := g * simd.Group
			queries := min(simd.Group, len(w.queries)-at)
			w.cutFirst(at, queries, u.view)
			w.kernel.ScanGroup(w.dots, w.in, group, &w.cuts[g], rows, rough, n)
			w.offer(u.view, first, at, queries, simd.Group, (n+simd.Block-1)/simd.Block)
		}
		w.view = u.view
		first = end
	}
}

// cutFirst brings the cuts of n queries, from the first of a group on, up to
// what is known by now.
func (w *worker) cutFirst(first, n, view int) {
	cuts := &w.cuts[first/simd.Group]
	for j := range n {
		s := &w.searches[first+j]
		s.highest = min(s.highest, s.shared.load())
		if w.view == view && s.highest == w.cutFor[first+j] {
			continue
		}
		cut := w.bound.cut(s.q, s.highest, w.snapshot.views[view].largest)
		cuts.Slopes[j], cuts.Limits[j] = cut.Slope, cut.Limit
		w.cutFor[first+j] = s.highest
	}
}

// offer offers the rows that are in, of so many blocks from the given one on,
// to n searches, from the given one on; group is how many the kernel took.
func (w *worker) offer(view, block, first, n, group, blocks int) {
	v := &w.snapshot.views[view]
	for b := range blocks {
		words := w.in[b*group : b*group+n]
		for j, word := range words {
			if word == 0 {
				continue
			}
			s := &w.searches[first+j]
			dots := w.dots[(b*group+j)*simd.Block:]
			for ; word != 0; word &= word - 1 {
				lane := bits.TrailingZeros64(word)
				row := (block+b)*simd.Block + lane
				low, high := w.bound.between(s.q, v.sizes[row], dots[lane])
				if low > s.highest || !w.snapshot.alive(v, row) || w.keep != nil && !w.keep(v.ids[row]) {
					continue
				}
				if w.bound.projected {
					high = addLeftOut(high, s.q.last, float64(v.last(row)))
				}
				s.offer(candidate{low, view, row}, high)
			}
		}
	}
}
