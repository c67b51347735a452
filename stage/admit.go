package stage

import (
	"context"
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
		e.enter(t, &b.Records[i])
	}
}

// enter takes one record into the stage.
func (e *engine) enter(t *tenure, r *Raw) {
	k := &task{raw: *r, seq: t.tracker.Track(r.Offset)}
	done := t.done.Take(r.Offset)
	if done && e.delivery == AtLeastOnce {
		t.tracker.Done(k.seq)
		return
	}
	k.strand = e.strandOf(t, k)
	e.inFlight++
	e.bytes += r.size()
	t.inFlight++
	if e.delivery == ExactlyOnce {
		t.line.tasks = append(t.line.tasks, k)
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
	t.parked = recs
	e.parked[t] = struct{}{}
	t.resume.Pause()
	topic, partition := t.lane.ID()
	e.log.Warn("a partition waits for an old record: too much is done above it to be committed",
		"topic", topic, "partition", partition, "record", t.tracker.First(), "done_above", t.tracker.Pending())
}

// unpark takes in what has room by now.
func (e *engine) unpark() {
	for t := range e.parked {
		n := 0
		for n < len(t.parked) && !e.stopped && !e.full(&t.parked[n]) && e.fits(t, &t.parked[n]) {
			e.enter(t, &t.parked[n])
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
	t := &tenure{lane: l, strands: make(map[string]*strand), paused: make(map[*strand]struct{})}
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
		return
	}
	start := t.resume.Start()
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
		k.own.tenure = t
		return &k.own
	}
	var key []byte
	if e.order == ByKey {
		key = k.raw.Key
	}
	s, ok := t.strands[string(key)]
	if !ok {
		s = &strand{tenure: t, key: string(key)}
		t.strands[s.key] = s
	}
	return s
}

// wait puts a task at the end of its strand.
func (e *engine) wait(s *strand, k *task) {
	s.waiting = append(s.waiting, k)
	if s.busy {
		return
	}
	if len(s.waiting) == 1 {
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
	if e.takeable == 0 {
		e.since = time.Now()
	}
	e.takeable += len(s.waiting)
	e.ready = append(e.ready, s)
	e.work.Signal()
}

// free ends a worker's hold on a strand.
func (e *engine) free(s *strand) {
	s.busy = false
	if len(s.waiting) > 0 {
		e.makeReady(s)
		return
	}
	e.forget(s)
}

// pause runs f, which lets the strand go on, after d.
func (e *engine) pause(s *strand, d time.Duration, f func()) {
	if d <= 0 {
		f()
		return
	}
	s.tenure.paused[s] = struct{}{}
	e.after(d, func() {
		delete(s.tenure.paused, s)
		f()
	})
}

// forget lets go of a strand that nothing refers to.
func (e *engine) forget(s *strand) {
	if s.idle() && s.tenure.strands[s.key] == s {
		delete(s.tenure.strands, s.key)
	}
}

// dropWaiting drops the tasks of a lane that no worker has begun, or that wait
// to be tried again. They are not marked, so whoever reads the lane next gets
// them, still in order: they are the end of their strands.
func (e *engine) dropWaiting(t *tenure) {
	t.revoked = true
	t.parked = nil
	delete(e.parked, t)
	e.ready = slices.DeleteFunc(e.ready, func(s *strand) bool {
		if s.tenure != t {
			return false
		}
		e.takeable -= len(s.waiting)
		e.drop(s.waiting)
		s.waiting = nil
		e.forget(s)
		return true
	})
	for _, s := range t.strands { // those in a worker's hands
		e.drop(s.waiting)
		s.waiting = nil
	}
	for s := range t.paused {
		e.drop(s.waiting)
		s.waiting = nil
		if e.err != nil && s.mode == writeAgain {
			e.drop(s.writing)
			s.writing, s.mode = nil, writeNever
		}
	}
	e.cut(t)
	e.unpark()
	e.room.Broadcast()
	e.txn.news.Broadcast()
}

// drop ends tasks that this tenure will not finish.
func (e *engine) drop(tasks []*task) {
	for _, k := range tasks {
		k.gone = true
		e.leave(k)
	}
}

// finish ends a task that is done.
func (e *engine) finish(k *task) {
	t := k.strand.tenure
	if !t.lost {
		t.tracker.Done(k.seq)
	}
	e.leave(k)
	e.unpark()
}

// leave counts a task out.
func (e *engine) leave(k *task) {
	t := k.strand.tenure
	e.inFlight--
	e.bytes -= k.raw.size()
	t.inFlight--
	e.room.Signal()
	if t.inFlight == 0 {
		e.idle.Broadcast()
	}
}
