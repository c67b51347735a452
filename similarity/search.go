package similarity

import (
	"math"
	"slices"
	"sync/atomic"
)

// search is what one goroutine knows of the answer to one query.
//
// A row that is in is first a candidate. The k lowest of the upper ends of
// the scores seen make highest, which no row needs to exceed, so that most
// candidates are out again before they are measured. When there are many that
// are not, or the rows are at an end, those that are left are measured, the most
// promising first.
type search struct {
	scan   *scan
	q      *query
	shared *atomicMin // highest of all goroutines that search for this query

	highest float64
	highs   floatHeap // the k lowest upper ends
	waiting []candidate
	best    topK
	lows    floatHeap // of promising
	refined int       // rows measured
	dropped float64   // by a budget: the lowest lower end of what was not measured
	buf     []float32 // a row; the goroutine's
}

type candidate struct {
	low       float64
	view, row int32
}

// candidates is how many wait before those that are out are dropped, and, while
// that leaves more than half of them, some are measured.
func (s *scan) candidates() int {
	few := 64
	if s.bound.wide() {
		few = 512
	}
	switch {
	case s.budget > 0:
		return 2*s.budget + few
	case !s.nearest: // all that are in are wanted
		return few
	}
	return max(4*min(s.k, 1<<20), few)
}

// offer is called with every row that is in; tell is for what follows of it.
func (s *search) offer(c candidate, high float64) {
	if c.low > s.highest {
		return
	}
	if s.scan.nearest && s.highs.keep(high, s.scan.k) && len(s.highs) == s.scan.k {
		s.highest = min(s.highest, s.highs[0])
	}
	s.waiting = append(s.waiting, c)
	most := s.scan.candidates()
	if len(s.waiting) < most {
		return
	}
	if s.scan.budget > 0 {
		s.spare()
		return
	}
	s.sift()
	// The best ones set the bar, so that few of the others are measured.
	for n := s.scan.k; len(s.waiting) > most/2; n *= 4 {
		s.settle(n)
		s.sift()
	}
}

// tell has the other goroutines know of the k rows that are below highest.
func (s *search) tell() {
	if s.scan.nearest && len(s.highs) == s.scan.k {
		s.highest = min(s.highest, s.shared.lower(s.highs[0]))
	}
}

// sift drops the candidates that are out by now.
func (s *search) sift() {
	in := s.waiting[:0]
	for _, c := range s.waiting {
		if c.low <= s.highest {
			in = append(in, c)
		}
	}
	s.waiting = in
}

// lower tells that no score above highest is wanted.
func (s *search) lower(highest float64) {
	if highest < s.highest {
		s.highest = s.shared.lower(highest)
	}
}

// spare leaves as many candidates as may be measured.
func (s *search) spare() {
	slices.SortFunc(s.waiting, candidate.compare)
	if n := s.scan.budget; len(s.waiting) > n {
		s.waiting = s.waiting[:n]
		// For this goroutine, that is the bar from now on.
		s.highest = min(s.highest, s.waiting[n-1].low)
		s.dropped = min(s.dropped, s.highest)
	}
}

// settle measures candidates, but for those that are out: at most so many, the
// most promising ones.
func (s *search) settle(most int) {
	s.sift()
	if s.scan.budget > 0 {
		s.spare()
	} else {
		s.promising(most)
	}
	measured := 0
	for i, c := range s.waiting {
		s.highest = min(s.highest, s.shared.load())
		if c.low > s.highest || measured == most {
			break
		}
		measured++
		v := &s.scan.snapshot.views[c.view]
		s.refined++
		next := s.waiting[min(i+1, len(s.waiting)-1)]
		values := v.valuesBefore(s.buf, int(c.row), s.scan.snapshot.views[next.view].segment, int(next.row))
		// With a budget, highest is no bar for what is measured.
		if s.scan.budget == 0 && s.scan.bound.tooFar(s.scan.kernel, s.q, values, s.highest) {
			continue
		}
		if d := s.scan.bound.measured.distance(s.q, values, s.best.worst()); d <= s.best.worst() {
			s.best.offer(Hit{v.ids[c.row], d})
			if s.scan.nearest && len(s.best.heap) == s.best.k {
				s.lower(s.scan.bound.score(s.best.worst()))
			}
		}
	}
	s.waiting = append(s.waiting[:0], s.waiting[measured:]...)
}

// promising puts the n lowest candidates first, in order: to sort all of them takes
// longer than to measure those few.
func (s *search) promising(n int) {
	first := len(s.waiting)
	if n < first {
		s.lows = s.lows[:0]
		for _, c := range s.waiting {
			s.lows.keep(c.low, n)
		}
		first = 0
		for i, c := range s.waiting {
			if c.low <= s.lows[0] {
				s.waiting[first], s.waiting[i] = c, s.waiting[first]
				first++
			}
		}
	}
	slices.SortFunc(s.waiting[:first], candidate.compare)
}

// merge takes over what another search for the same query found.
func (s *search) merge(other *search) {
	for _, high := range other.highs {
		s.highs.keep(high, s.scan.k)
	}
	s.tell()
	for _, h := range other.best.heap {
		s.best.offer(h)
	}
	if s.scan.nearest && len(s.best.heap) == s.best.k {
		s.lower(s.scan.bound.score(s.best.worst()))
	}
	s.waiting = append(s.waiting, other.waiting...)
	s.refined += other.refined
	s.dropped = min(s.dropped, other.dropped)
}

// compare orders candidates: the most promising first.
// There are no NaNs, for which cmp.Compare takes twice the time.
func (c candidate) compare(other candidate) int {
	switch {
	case c.low < other.low:
		return -1
	case c.low > other.low:
		return 1
	}
	return 0
}

// floatHeap keeps the lowest numbers, with the highest of them on top.
type floatHeap []float64

// keep puts v in if it is among the k lowest, and tells whether it is.
func (h *floatHeap) keep(v float64, k int) bool {
	heap := *h
	if len(heap) < k {
		heap = append(heap, v)
		for i := len(heap) - 1; i > 0 && heap[i] > heap[(i-1)/2]; i = (i - 1) / 2 {
			heap[i], heap[(i-1)/2] = heap[(i-1)/2], heap[i]
		}
		*h = heap
		return true
	}
	if v >= heap[0] {
		return false
	}
	heap[0] = v
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(heap) {
			return true
		}
		if child+1 < len(heap) && heap[child+1] > heap[child] {
			child++
		}
		if heap[child] <= heap[i] {
			return true
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}

// atomicMin is the lowest number that goroutines have told each other.
type atomicMin struct{ bits atomic.Uint64 }

func (a *atomicMin) set(v float64) { a.bits.Store(math.Float64bits(v)) }
func (a *atomicMin) load() float64 { return math.Float64frombits(a.bits.Load()) }

// lower makes it v if that is lower, and returns what it is then.
func (a *atomicMin) lower(v float64) float64 {
	for {
		old := a.bits.Load()
		was := math.Float64frombits(old)
		if was <= v {
			return was
		}
		if a.bits.CompareAndSwap(old, math.Float64bits(v)) {
			return v
		}
	}
}
