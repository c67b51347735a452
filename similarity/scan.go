package similarity

import (
	"context"
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
)

const (
	// A tile is the rows that are compared with a party of queries before the
	// next ones; both are so few values that they stay in a core's second cache.
	// tileBlocks is the most blocks of a tile.
	tileValues  = 48 << 10
	tileBlocks  = 16
	partyValues = 128 << 10
	// loneWork is how many pairs of values are not worth waking a second
	// goroutine for: some 50 us of work.
	loneWork = 1 << 21
	// lonePrepared is the same of values of queries that are made ready.
	lonePrepared = 1 << 14
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
	crew     *crew // for a single query
	queries  []query

	shared []atomicMin
	groups [][]float32 // the queries, packed, unless there is only one
	units  []unit
	next   atomic.Int64
}

// unit is what a goroutine takes at a time: a run of blocks, for the groups of
// a party.
type unit struct{ view, first, end, group, groupEnd int }

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
	workers := make([]*worker, s.divide())
	var crew *crew
	if len(s.queries) == 1 {
		crew = s.crew
	}
	crew.parallel(len(workers), func(w int) {
		workers[w] = s.newWorker()
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
	// What all know of a query comes together in the first one's search.
	searches := workers[0].searches
	s.each(func(i int) {
		for _, other := range workers[1:] {
			searches[i].merge(&other.searches[i])
		}
		searches[i].highest = searches[i].shared.load()
		searches[i].sift()
	})
	switch {
	case len(searches) == 1 && s.budget == 0:
		s.settleApart(workers)
	case s.bound.projected || !s.settleTogether(ctx, searches):
		// Through a projection the first ones measured tell of most others that
		// they are out.
		s.each(func(i int) {
			searches[i].buf = make([]float32, s.snapshot.dim)
			searches[i].settle()
		})
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answers := make([]answer, len(searches))
	s.each(func(i int) {
		all := &searches[i]
		// What is found may have set the bar below what was dropped.
		proved := math.IsInf(all.dropped, 1) || all.dropped > all.shared.load()
		answers[i] = answer{all.best.sorted(), all.refined, proved}
	})
	return answers, nil
}

// each calls f with every query's number, from several goroutines if there are
// many.
func (s *scan) each(f func(i int)) {
	const some = 16
	var next atomic.Int64
	parallel(s.goroutines(len(s.queries)/some), func(int) {
		for first := int(next.Add(some)) - some; first < len(s.queries); first = int(next.Add(some)) - some {
			for i := first; i < min(first+some, len(s.queries)); i++ {
				f(i)
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

// prepare makes the queries, by as many makers as there are goroutines, and
// packs them in groups. The last group is filled up with zeros.
func (s *scan) prepare(asked []vector.Vector, maker func() func(values []float32) query) {
	s.queries = make([]query, len(asked))
	if len(asked) == 1 {
		s.queries[0] = maker()(asked[0].Values)
		return
	}
	s.groups = make([][]float32, (len(asked)+simd.Group-1)/simd.Group)
	var next atomic.Int64
	parallel(min(runtime.GOMAXPROCS(0), 1+len(asked)*len(asked[0].Values)/lonePrepared), func(int) {
		newQuery := maker()
		for g := int(next.Add(1)) - 1; g < len(s.groups); g = int(next.Add(1)) - 1 {
			s.groups[g] = make([]float32, s.snapshot.width*simd.Group)
			for j := range min(simd.Group, len(asked)-g*simd.Group) {
				q := newQuery(asked[g*simd.Group+j].Values)
				simd.PackGroup(s.groups[g], j, q.scanned)
				s.queries[g*simd.Group+j] = q
			}
		}
	})
}

// divide makes the units, and tells for how many goroutines they are.
func (s *scan) divide() (workers int) {
	blocks := 0
	for _, v := range s.snapshot.views {
		blocks += v.blocks()
	}
	width := s.snapshot.width
	workers = min(runtime.GOMAXPROCS(0), 1+blocks*simd.Block*width*len(s.queries)/loneWork)
	groups := max(1, len(s.groups))
	party := min(max(1, partyValues/(simd.Group*width)), groups)
	for i, v := range s.snapshot.views {
		end := v.blocks()
		for first := 0; first < end; {
			run := min(max(s.tile(), blocks/(shares*workers)), end-first)
			for g := 0; g < groups; g += party {
				s.units = append(s.units, unit{i, first, first + run, g, min(g+party, groups)})
			}
			first, blocks = first+run, blocks-run
		}
	}
	return workers
}

// tile is how many blocks are compared with all queries of a party at once.
func (s *scan) tile() int {
	return min(max(1, tileValues/(simd.Block*s.snapshot.width)), tileBlocks)
}

// worker is one goroutine's part of a scan.
type worker struct {
	*scan
	searches []search
	cuts     []simd.Cuts // of each group
	cutFor   []cutFor    // of each query
	dots     []float32
	in       []uint64
	buf      []float32 // a row
}

// cutFor is what a cut was made for; that of the zero cutFor is never right.
type cutFor struct {
	view    *view
	highest float64
}

func (s *scan) newWorker() *worker {
	w := &worker{scan: s, searches: make([]search, len(s.queries)), cutFor: make([]cutFor, len(s.queries))}
	w.buf = make([]float32, s.snapshot.width)
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

// scanUnit offers the unit's rows to the searches of its party.
func (w *worker) scanUnit(ctx context.Context, u unit) {
	v := &w.snapshot.views[u.view]
	width := w.snapshot.width
	rows := func(first, end int) []float32 { return v.panels[first*simd.Block*width : end*simd.Block*width] }
	size := w.tile()
	if math.IsInf(w.searches[u.group*simd.Group].highest, 1) {
		size = 1 // with nothing to beat, every row is in
	}
	for first := u.first; first < u.end && ctx.Err() == nil; size = min(2*size, w.tile()) {
		end := min(first+size, u.end)
		blocks := end - first
		n := min(end*simd.Block, v.rows) - first*simd.Block
		rough := v.rough[first*simd.Block : end*simd.Block]
		if w.groups == nil {
			w.cutFirst(0, 1, u.view)
			cut := simd.Cut{Slope: w.cuts[0].Slopes[0], Limit: w.cuts[0].Limits[0]}
			w.kernel.Scan(w.dots, w.in, w.queries[0].scanned, cut, rows(first, end), rough, n)
			w.offer(u.view, first, 0, 1, 1, blocks)
		} else {
			ahead := rows(end, min(end+2*size, end+w.tile(), u.end))
			for g := u.group; g < u.groupEnd; g++ {
				at := g * simd.Group
				queries := min(simd.Group, len(w.queries)-at)
				w.cutFirst(at, queries, u.view)
				some := (len(ahead) + u.groupEnd - g - 1) / (u.groupEnd - g)
				w.kernel.ScanGroup(w.dots, w.in, w.groups[g], &w.cuts[g], rows(first, end), rough, n, ahead[:some])
				ahead = ahead[some:]
				w.offer(u.view, first, at, queries, simd.Group, blocks)
			}
		}
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
		now := cutFor{&w.snapshot.views[view], s.highest}
		if w.cutFor[first+j] == now {
			continue
		}
		w.cutFor[first+j] = now
		cut := w.bound.cut(s.q, s.highest, now.view.largest)
		cuts.Slopes[j], cuts.Limits[j] = cut.Slope, cut.Limit
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
				s.offer(candidate{low, int32(view), int32(row)}, high)
			}
		}
	}
}
