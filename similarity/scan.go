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
	// A tile is the rows that are compared with a party of queries before the
	// next ones; both are so few bytes that they stay in a core's second cache.
	// tileBlocks is the most blocks of a tile.
	tileBytes  = 192 << 10
	tileBlocks = 16
	partyBytes = 512 << 10
	// loneWork is how many pairs of values are not worth waking a second
	// goroutine for: some 50 us of work.
	loneWork = 1 << 21
	// shares is into how many units for each goroutine the rows that are left
	// are divided, for the next one: the last ones are small, so that all end at
	// about the same time.
	shares = 4
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
	crew    *crew // nil is goroutines made for it
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

	shared  []atomicMin
	groups  []group // of all queries
	units   []unit
	workers int // for how many goroutines the units are
	next    atomic.Int64
}

// unit is what a goroutine takes at a time: a run of blocks, for the groups of a
// party, or for some queries.
type unit struct {
	view, first, end int
	group, groupEnd  int
	members          []int // in place of groups
}

// answer is what is found for a query.
type answer struct {
	hits    []Hit
	refined int  // rows measured
	proved  bool // nothing was left out for want of budget
}

// run answers the queries. Goroutines take the rows unit by unit; then what is
// left is measured.
func (s *scan) run(ctx context.Context) ([]answer, error) {
	s.shared = make([]atomicMin, len(s.queries))
	for i := range s.shared {
		s.shared[i].set(s.bound.score(s.radius))
	}
	if s.workers == 0 {
		s.divide()
	}
	workers := make([]*worker, s.workers)
	s.crew.parallel(len(workers), func(w int) {
		workers[w] = s.newWorker(w)
		for ctx.Err() == nil {
			i := int(s.next.Add(1)) - 1
			if i >= len(s.units) {
				return
			}
			workers[w].scanUnit(ctx, s.units[i])
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answers := make([]answer, len(s.queries))
	s.conclude(ctx, workers, answers)
	return answers, ctx.Err()
}

// conclude brings together, in the first worker's searches, what all know of a query,
// and measures the candidates that are left.
func (s *scan) conclude(ctx context.Context, workers []*worker, answers []answer) {
	searches := workers[0].searches
	merge := func(i int) {
		for _, other := range workers[1:] {
			searches[i].merge(&other.searches[i])
		}
		searches[i].highest = searches[i].shared.load()
		searches[i].sift()
	}
	finish := func(i int) {
		all := &searches[i]
		// What is found may have set the bar below what was dropped.
		proved := math.IsInf(all.dropped, 1) || all.dropped > all.shared.load()
		answers[i] = answer{all.best.sorted(), all.refined, proved}
	}
	switch {
	case len(searches) == 1 && s.budget == 0:
		merge(0)
		s.settleApart(workers)
		finish(0)
	case s.crowded():
		s.each(func(i int, _ []float32) { merge(i) })
		if !s.settleTogether(ctx, searches) {
			s.each(func(i int, buf []float32) {
				searches[i].buf = buf
				searches[i].settle(math.MaxInt)
			})
		}
		s.each(func(i int, _ []float32) { finish(i) })
	default:
		s.each(func(i int, buf []float32) {
			merge(i)
			searches[i].buf = buf
			searches[i].settle(math.MaxInt)
			finish(i)
		})
	}
}

// crowded tells whether several of the candidates that are left are in a panel. Not
// where their ends are far from each other: there, the first ones measured tell of
// most others that they are out.
func (s *scan) crowded() bool {
	return s.nearest && !s.bound.wide() && len(s.queries)*s.k*simd.Panel > s.snapshot.live
}

// each calls f with every query's number and room for a row, from several goroutines
// if there are many.
func (s *scan) each(f func(i int, row []float32)) {
	const some = 8
	var next atomic.Int64
	s.crew.parallel(s.goroutines(len(s.queries)/some), func(int) {
		row := make([]float32, s.snapshot.dim)
		for first := int(next.Add(some)) - some; first < len(s.queries); first = int(next.Add(some)) - some {
			for i := first; i < min(first+some, len(s.queries)); i++ {
				f(i, row)
			}
		}
	})
}

// goroutines is how many to start for so many pieces of work.
func (s *scan) goroutines(pieces int) int { return max(1, min(runtime.GOMAXPROCS(0), pieces)) }

// parallel calls f with 0 to n-1, each in a goroutine, the first in this one.
func parallel(n int, f func(int)) {
	var wg sync.WaitGroup
	for i := 1; i < n; i++ {
		wg.Go(func() { f(i) })
	}
	f(0)
	wg.Wait()
}

// divide makes units of all rows for all queries.
func (s *scan) divide() {
	blocks := 0
	for _, v := range s.snapshot.views {
		blocks += v.blocks()
	}
	s.workers = s.worth(blocks * len(s.queries))
	party := min(max(1, partyBytes/(s.groups[0].size*s.rowBytes())), len(s.groups))
	for i, v := range s.snapshot.views {
		end := v.blocks()
		for first := 0; first < end; {
			run := min(max(s.tile(), blocks/(shares*s.workers)), end-first)
			for g := 0; g < len(s.groups); g += party {
				s.units = append(s.units, unit{view: i, first: first, end: first + run, group: g, groupEnd: min(g+party, len(s.groups))})
			}
			first, blocks = first+run, blocks-run
		}
	}
}

// worth is how many goroutines to start for so many pairs of a block and a query.
func (s *scan) worth(pairs int) int {
	return min(runtime.GOMAXPROCS(0), 1+pairs*simd.Block*s.snapshot.width/loneWork)
}

// tile is how many blocks are compared with all queries of a party at once.
func (s *scan) tile() int {
	return min(max(1, tileBytes/(simd.Block*s.rowBytes())), tileBlocks)
}

// rowBytes is how much of a row is scanned.
func (s *scan) rowBytes() int {
	if s.bound.coded {
		return s.snapshot.width
	}
	return 4 * s.snapshot.width
}

// worker is one goroutine's part of a scan.
type worker struct {
	*scan
	number   int
	searches []search
	cuts     []cut // of each query
	dots     []float32
	in       []uint64
	buf      []float32 // a row
}

// cut is a query's, and what it was made for; the zero cut is never right.
type cut struct {
	simd.CodeCut
	view    *view
	highest float64
}

func (s *scan) newWorker(number int) *worker {
	w := &worker{scan: s, number: number, searches: make([]search, len(s.queries)), cuts: make([]cut, len(s.queries))}
	w.buf = make([]float32, s.snapshot.dim)
	// What all searches need at least is one piece of memory.
	const most = 64
	candidates := make([]candidate, most*len(s.queries))
	highs := make([]float64, min(s.k, most)*len(s.queries))
	for i := range w.searches {
		w.searches[i] = search{
			scan: s, q: &s.queries[i], shared: &s.shared[i], highest: s.shared[i].load(),
			best: topK{k: s.k, radius: s.radius}, dropped: math.Inf(1), buf: w.buf,
			waiting: candidates[:0:most], highs: highs[:0:min(s.k, most)],
		}
		candidates, highs = candidates[most:], highs[min(s.k, most):]
	}
	queries := s.groupOf(len(s.queries))
	w.dots, w.in = make([]float32, tileBlocks*simd.Block*queries), make([]uint64, tileBlocks*queries)
	return w
}

// scanUnit offers the unit's rows to the searches of its queries.
func (w *worker) scanUnit(ctx context.Context, u unit) {
	groups := w.groups[u.group:u.groupEnd]
	for _, some := range w.parts(u.members) {
		groups = append(groups[:len(groups):len(groups)], w.pack(some))
	}
	v := &w.snapshot.views[u.view]
	size := w.tile()
	for i := range groups {
		if math.IsInf(w.shared[groups[i].members[0]].load(), 1) {
			size = 1 // with nothing to beat, every row is in
		}
	}
	for first := u.first; first < u.end && ctx.Err() == nil; size = min(2*size, w.tile()) {
		end := min(first+size, u.end)
		ahead := v.scanned(end, min(end+2*size, end+w.tile(), u.end))
		for i := range groups {
			// Each worker begins with other groups, so that of the first rows, which
			// are all in, most know from another worker what they must beat.
			g := &groups[(i+w.number*len(groups)/w.workers)%len(groups)]
			some := (len(ahead) + len(groups) - i - 1) / (len(groups) - i)
			w.scanGroup(v, first, end, g, ahead[:some])
			ahead = ahead[some:]
			w.offer(u.view, first, end-first, g)
		}
		first = end
	}
}

// scanGroup compares a run of blocks with a group. What is ahead is on its way
// meanwhile.
func (w *worker) scanGroup(v *view, first, end int, g *group, ahead []float32) {
	n := min(end*simd.Block, v.rows) - first*simd.Block
	one := &w.queries[g.members[0]]
	if g.size == 1 {
		cut := w.cutOf(g.members[0], v)
		if w.bound.coded {
			w.kernel.ScanCodes(w.dots, w.in, one.codes, cut, v.codesOf(first, end), v.marks(first, end), n)
		} else {
			w.kernel.Scan(w.dots, w.in, one.scanned, simd.Cut{Slope: cut.Slope, Limit: cut.Limit}, v.scanned(first, end), v.marks(first, end), n)
		}
		return
	}
	cut := func(j int) simd.CodeCut {
		if j < len(g.members) {
			return w.cutOf(g.members[j], v)
		}
		return simd.CodeCut{Limit: float32(math.Inf(1))} // no query: nothing is in
	}
	if w.bound.coded {
		var cuts simd.CodeCuts
		for j := range g.size {
			cuts.Set(j, cut(j))
		}
		w.kernel.ScanCodeGroup(w.dots, w.in, g.codes, &cuts, v.codesOf(first, end), v.marks(first, end), n)
		return
	}
	var cuts simd.Cuts
	for j := range g.size {
		c := cut(j)
		cuts.Slopes[j], cuts.Limits[j] = c.Slope, c.Limit
	}
	w.kernel.ScanGroup(w.dots, w.in, g.packed, g.size, &cuts, v.scanned(first, end), v.marks(first, end), n, ahead)
}

// cutOf brings a query's cut up to what is known by now.
func (w *worker) cutOf(i int, v *view) simd.CodeCut {
	s, c := &w.searches[i], &w.cuts[i]
	s.highest = min(s.highest, s.shared.load())
	if c.view != v || s.highest != c.highest {
		*c = cut{w.bound.cut(s.q, s.highest, v.largest), v, s.highest}
	}
	return c.CodeCut
}

// offer offers the rows that are in, of so many blocks from the given one on, to
// a group's searches.
func (w *worker) offer(view, block, blocks int, g *group) {
	v := &w.snapshot.views[view]
	for b := range blocks {
		words := w.in[b*g.size:][:len(g.members)]
		for j, word := range words {
			if word == 0 {
				continue
			}
			s := &w.searches[g.members[j]]
			dots := w.dots[(b*g.size+j)*simd.Block:]
			was := s.highest
			for ; word != 0; word &= word - 1 {
				lane := bits.TrailingZeros64(word)
				row := (block+b)*simd.Block + lane
				low, high := w.bound.endsOf(s.q, v, row, dots[lane])
				if low > s.highest || !w.snapshot.alive(v, row) || w.keep != nil && !w.keep(v.ids[row]) {
					continue
				}
				s.offer(candidate{low, int32(view), int32(row)}, high)
			}
			if s.highest < was {
				s.tell()
			}
		}
	}
}
