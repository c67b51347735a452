package similarity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// Shadow is a [Finder] that answers with its First, and has its Second answer
// the same queries in the background, to count where the two differ: before one
// replaces the other, or to watch an approximate one.
//
// Whatever the Second does (it hangs, fails, panics, changes what it is given)
// has no effect on an answer. It is asked when the First has answered, at most
// MaxInFlight times at once; when it is that far behind, queries are dropped
// and counted. What a call costs besides the First is a copy of the queries and
// of the hits; a Second in this process takes processor time, too.
//
// The fields must not change after the first call. It is safe for concurrent
// use. Close it at the end.
type Shadow struct {
	First  Finder // required
	Second Finder // nil: there is nothing to compare

	// Timeout is how long the Second has for a call. Its context ends then,
	// and not with that of the First's. Zero means 10 s.
	Timeout time.Duration
	// MaxInFlight is how many calls of the Second there are at once at the
	// most, with those that do not return when their context ends. Zero
	// means 1.
	MaxInFlight int
	// Tolerance is how much two distances may differ, as a fraction of the
	// larger one, or of 1 where both are smaller. Hits that are as near may
	// come in another order. Zero means 1e-6.
	Tolerance float64
	// Differ, if set, is called for each query that the Second failed at or
	// answered otherwise, in the background, by several goroutines at once
	// where MaxInFlight is above 1.
	Differ func(Difference)

	agreed, disagreed, failed, dropped atomic.Uint64

	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when closed and none runs; nil until Close
}

// Difference is a query, and what came of it.
type Difference struct {
	Query         vector.Vector
	K             int
	First, Second []Hit
	FirstErr      error // why the First refused this query
	SecondErr     error // why the Second did, or why its whole call failed
	CallFailed    bool  // the latter
}

// ShadowStats counts queries.
type ShadowStats struct {
	Agreed    uint64 // both found the same, or both refused the query
	Disagreed uint64
	Failed    uint64 // the Second's call failed, or took too long
	Dropped   uint64 // the Second was not asked: it was busy, or Close was called
}

// Stats is what was found so far. Queries that the Second has in its hands are
// in none of the counts.
func (s *Shadow) Stats() ShadowStats {
	return ShadowStats{s.agreed.Load(), s.disagreed.Load(), s.failed.Load(), s.dropped.Load()}
}

// Nearest implements [Finder], by the First.
func (s *Shadow) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error) {
	if s.First == nil {
		return nil, stage.Permanent(errors.New("similarity: a Shadow without a First: set the Finder that answers"))
	}
	hits, err := s.First.Nearest(ctx, queries, k)
	if s.Second == nil || len(queries) == 0 {
		return hits, err
	}
	first, ok := newVerdicts(hits, err, len(queries))
	if !ok {
		return hits, err // nothing to compare with
	}
	if !s.begin() {
		s.dropped.Add(uint64(len(queries)))
		return hits, err
	}
	// The caller may change both when this returns.
	queries, first = cloneQueries(queries), first.clone()
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer s.end()
		s.compare(ctx, queries, k, first)
	}()
	return hits, err
}

// begin takes a place for a call of the Second, if there is one.
func (s *Shadow) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle != nil || s.running >= max(1, s.MaxInFlight) {
		return false
	}
	s.running++
	return true
}

func (s *Shadow) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running--; s.running == 0 && s.idle != nil {
		close(s.idle)
	}
}

// Close waits for the Second's calls until ctx ends; each ends with Timeout,
// if the Second minds its context. The First answers on, without a shadow.
func (s *Shadow) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.idle == nil {
		s.idle = make(chan struct{})
		if s.running == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("similarity: close a Shadow: its Second has not returned: %w", ctx.Err())
	}
}

// compare asks the Second and counts.
func (s *Shadow) compare(ctx context.Context, queries []vector.Vector, k int, first verdicts) {
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	asked := queries
	if s.Differ != nil {
		asked = cloneQueries(queries) // the Second may change what it gets
	}
	hits, err := s.ask(ctx, asked, k)
	second, ok := newVerdicts(hits, err, len(queries))
	switch {
	case !ok && err == nil:
		err = fmt.Errorf("similarity: the Second gave %d answers to %d queries", len(hits), len(queries))
	case ctx.Err() != nil: // an answer, but too late to be one
		ok, err = false, fmt.Errorf("similarity: the Second took longer than %v: %w", timeout, ctx.Err())
	}
	for i, q := range queries {
		d := Difference{Query: q, K: k, First: first.hits[i], FirstErr: first.errs[i], SecondErr: err, CallFailed: !ok}
		switch {
		case !ok:
			s.failed.Add(1)
		case s.alike(first, second, i):
			s.agreed.Add(1)
			continue
		default:
			s.disagreed.Add(1)
			d.Second, d.SecondErr = second.hits[i], second.errs[i]
		}
		s.tell(d)
	}
}

// ask calls the Second, and makes a panic an error.
func (s *Shadow) ask(ctx context.Context, queries []vector.Vector, k int) (hits [][]Hit, err error) {
	defer func() {
		if v := recover(); v != nil {
			hits, err = nil, fmt.Errorf("similarity: the Second panicked: %v", v)
		}
	}()
	return s.Second.Nearest(ctx, queries, k)
}

// tell calls Differ. Its panic must not end the process that answers.
func (s *Shadow) tell(d Difference) {
	if s.Differ == nil {
		return
	}
	defer func() { _ = recover() }()
	s.Differ(d)
}

func (s *Shadow) alike(a, b verdicts, i int) bool {
	if a.errs[i] != nil || b.errs[i] != nil {
		return a.errs[i] != nil && b.errs[i] != nil
	}
	tolerance := s.Tolerance
	if tolerance == 0 {
		tolerance = 1e-6
	}
	return alike(a.hits[i], b.hits[i], tolerance)
}

// alike tells whether two answers are the same but for rounding, which may
// change the order of hits that are as near, and which of them is the last of
// the k.
func alike(a, b []Hit, tolerance float64) bool {
	if len(a) != len(b) {
		return false
	}
	near := func(x, y float64) bool {
		return math.Abs(x-y) <= tolerance*max(1, math.Abs(x), math.Abs(y))
	}
	distances := make(map[string]float64, len(a))
	for i, h := range a {
		if !near(h.Distance, b[i].Distance) {
			return false
		}
		distances[h.ID] = h.Distance
	}
	if len(distances) < len(a) {
		return false // an id twice
	}
	seen := make(map[string]bool, len(b))
	for _, h := range b {
		d, both := distances[h.ID]
		if !both {
			d = a[len(a)-1].Distance // as near as the last one, which it then replaces
		}
		if seen[h.ID] || !near(d, h.Distance) {
			return false
		}
		seen[h.ID] = true
	}
	return true
}

// verdicts are a Finder's answers, and its errors of single queries.
type verdicts struct {
	hits [][]Hit
	errs []error
}

// newVerdicts reports false where the whole call failed.
func newVerdicts(hits [][]Hit, err error, n int) (verdicts, bool) {
	v := verdicts{hits, make([]error, n)}
	if err != nil {
		batch, ok := errors.AsType[*stage.BatchError](err)
		if !ok || len(batch.Errs) != n {
			return v, false
		}
		v.errs = batch.Errs
	}
	return v, len(hits) == n
}

func (v verdicts) clone() verdicts {
	c := verdicts{make([][]Hit, len(v.hits)), slices.Clone(v.errs)}
	for i, hits := range v.hits {
		c.hits[i] = slices.Clone(hits)
	}
	return c
}

func cloneQueries(queries []vector.Vector) []vector.Vector {
	c := slices.Clone(queries)
	for i := range c {
		c[i].Values = slices.Clone(c[i].Values)
	}
	return c
}
