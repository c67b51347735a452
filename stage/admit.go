package stage

import (
	"context"
	"hash/maphash"
	"slices"
	"time"

	"github.com/millrace-go/millrace/internal/lane"
)

// admit takes records into the stage, in their order, waiting for room.
func (e *engine) admit(ctx context.Context, b Batch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.tenureOf(ctx, b.Lane)
	if t == nil {
		return
	}
	if len(t.parked) > 0 { // it was under way when the lane was paused
		t.parked = append(t.parked, b.Records...)
		return
	}
	var slab []task // in pieces: one task that stays keeps its piece in memory
	for i := range b.Records {
		for e.full(&b.Records[i]) && !e.stopped && !t.revoked {
			e.room.Wait()
		}
		if e.stopped || t.revoked {
			return // the records are not marked, so they are read again
		}
		if !e.fits(t, &b.Records[i]) {
			e.park(t, b.Records[i:])
			return
		}
		if len(slab) == 0 {
			slab = make([]task, min(32, len(b.Records)-i))
		}
		e.enter(t, &slab[0], &b.Records[i])
		slab = slab[1:]
	}
}

// enter takes one record into the stage, as the task k.
func (e *engine) enter(t *tenure, k *task, r *Raw) {
	k.raw, k.size, k.tenure, k.seq = r, r.size(), t, t.tracker.Track(r.Offset)
	done := t.done.Take(r.Offset)
	if done && e.delivery == AtLeastOnce {
		t.tracker.Done(k.seq)
		return
	}
	k.strand = e.strandOf(t, k)
	e.inFlight++
	e.bytes += k.size
	t.inFlight++
	if e.delivery == ExactlyOnce {
		t.line.tasks.push(k)
	}
	if done { // its offset is still to be committed
		e.made(k)
		e.forget(k.strand)
		return
	}
	e.wait(k.strand, k)
}

// full reports whether there is no room for r.
func (e *engine) full(r *Raw) bool {
	return e.inFlight >= e.maxInFlight || e.inFlight > 0 && e.bytes+r.size() > e.maxBytes
}

// fits reports whether a commit can still say what is done of t with r in it.
func (e *engine) fits(t *tenure, r *Raw) bool {
	return t.resume == nil || e.delivery == ExactlyOnce || t.tracker.Fits(r.Offset)
}

// park keeps records back while an old one of their lane holds up the
// low-water mark. Other lanes go on.
func (e *engine) park(t *tenure, recs []Raw) {
	t.parked = slices.Clip(recs) // what comes behind them is the reader's
	e.parked[t] = struct{}{}
	t.resume.Pause()
	if missed, ok := e.held.allow(time.Now()); ok {
		topic, partition := t.lane.ID()
		e.log.Warn("a partition waits for an old record: too much is done above it to be committed",
			"topic", topic, "partition", partition, "record", t.tracker.First(), "done_above", t.tracker.Pending(), "lines_left_out", missed)
	}
}

// unpark takes in what has room by now.
func (e *engine) unpark() {
	if len(e.parked) == 0 { // nearly always, and this is asked for each record
		return
	}
	for t := range e.parked {
		n := 0
		for n < len(t.parked) && !e.stopped && !e.full(&t.parked[n]) && e.fits(t, &t.parked[n]) {
			e.enter(t, &task{}, &t.parked[n])
			n++
		}
		if t.parked = t.parked[n:]; len(t.parked) == 0 {
			delete(e.parked, t)
			t.resume.Resume()
			e.room.Signal()
		}
	}
}

// awaitParked waits, at the end of a source, until all is taken in.
func (e *engine) awaitParked() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.parked) > 0 && !e.stopped {
		e.room.Wait()
	}
}

// tenureOf finds what is kept of a lane and begins it if it is new; nil if
// the lane was already taken away.
func (e *engine) tenureOf(ctx context.Context, l Lane) *tenure {
	if t, ok := e.tenures[l]; ok {
		return t
	}
	select {
	case <-l.Revoked():
		// Release is harmless where it was called before, and it must be
		// called where it was not.
		l.Release()
		return nil
	default:
	}
	t := &tenure{
		lane:   l,
		paused: make(map[*strand]struct{}), unwritten: make(map[*strand]struct{}),
	}
	e.tenures[l] = t
	e.takeOver(t)
	e.watch.Go(func() {
		select {
		case <-l.Revoked():
			e.giveUp(ctx, t)
		case <-e.ended:
		}
	})
	return t
}

// takeOver reads what earlier tenures have left done.
func (e *engine) takeOver(t *tenure) {
	var ok bool
	if t.resume, ok = t.lane.(ResumableLane); !ok {
		e.refuseNotes()
		return
	}
	start := t.resume.Start()
	e.openLane(t, start.Note)
	topic, partition := t.lane.ID()
	log := e.log.With("topic", topic, "partition", partition, "offset", start.Offset)
	done, err := lane.ParseDoneMap(start.Done, start.Offset)
	if err != nil {
		log.Warn("what is done above the committed offset can't be read, so it is done again; does another program commit for this group?", "err", err)
		return
	}
	if t.done = done; done.Len() > 0 {
		log.Info("records that an earlier run has finished are passed over", "records", done.Len())
	}
}

// strandOf finds the strand that a record belongs to.
func (e *engine) strandOf(t *tenure, k *task) *strand {
	if e.order == Unordered || e.order == ByKey && k.raw.Key == nil {
		return e.strands.get(t)
	}
	var id uint64
	if e.order == ByKey {
		id = maphash.Bytes(e.seed, k.raw.Key) // two keys of one hash would wait for each other, no more
	}
	s := t.strands.find(id)
	if s == nil {
		s = e.strands.get(t)
		s.id, s.shared = id, true
		t.strands.add(s)
	}
	return s
}

// wait puts a task at the end of its strand.
func (e *engine) wait(s *strand, k *task) {
	s.waiting.push(k)
	if s.busy {
		return
	}
	if s.waiting.n == 1 {
		e.makeReady(s)
		return
	}
	e.takeable++
	if e.takeable == e.batchSize {
		e.work.Signal() // a worker may be lingering for just this
	}
}

// makeReady offers a strand with waiting tasks to the workers.
func (e *engine) makeReady(s *strand) {
	if e.takeable == 0 && e.batchWait > 0 {
		e.since = time.Now()
	}
	e.takeable += s.waiting.n
	e.ready.push(s)
	e.work.Signal()
}

// free ends a worker's hold on a strand.
func (e *engine) free(s *strand) {
	s.busy = false
	if s.waiting.n > 0 {
		e.makeReady(s)
		return
	}
	e.forget(s)
}

// pause ends a worker's hold on a strand after d.
func (e *engine) pause(s *strand, d time.Duration) {
	s.tenure.paused[s] = struct{}{}
	e.after(d, func() {
		delete(s.tenure.paused, s)
		e.free(s)
	})
}

// forget lets go of a strand that nothing refers to.
func (e *engine) forget(s *strand) {
	if s.tenure == nil || !s.idle() {
		return
	}
	if s.shared {
		s.tenure.strands.remove(s)
	}
	e.strands.put(s)
}

// dropWaiting drops the tasks of a lane that no worker has begun, or that wait
// to be tried again. They are not marked, so whoever reads the lane next gets
// them, still in order: they are the end of their strands.
func (e *engine) dropWaiting(t *tenure) {
	t.revoked = true
	t.parked = nil
	delete(e.parked, t)
	e.ready.filter(func(s *strand) bool {
		if s.tenure != t {
			return true
		}
		e.takeable -= s.waiting.n
		e.dropAll(&s.waiting)
		e.forget(s)
		return false
	})
	for s := range t.strands.all() { // those in a worker's hands
		e.dropAll(&s.waiting)
	}
	for s := range t.paused {
		e.dropAll(&s.waiting)
	}
	if e.err != nil {
		for s := range t.unwritten {
			e.dropAll(&s.writing)
			s.mode = writeNever
		}
	}
	e.cut(t)
	e.unpark()
	e.room.Broadcast()
	e.txn.news.Broadcast()
}

// drop ends a task that this tenure will not finish.
func (e *engine) drop(k *task) {
	k.gone = true
	e.leave(k)
}

// dropAll empties a queue of such tasks.
func (e *engine) dropAll(q *queue) {
	for q.n > 0 {
		e.drop(q.pop())
	}
}

// finish ends a task that is done.
func (e *engine) finish(k *task) {
	t := k.tenure
	if !t.lost {
		t.tracker.Done(k.seq)
	}
	e.leave(k)
	e.unpark()
}

// leave counts a task out.
func (e *engine) leave(k *task) {
	t := k.tenure
	e.inFlight--
	e.bytes -= k.size
	k.raw, k.strand, k.out, k.trial = nil, nil, nil, nil // another task may keep its piece in memory
	t.inFlight--
	e.room.Signal()
	if t.inFlight == 0 {
		e.idle.Broadcast()
	}
}
