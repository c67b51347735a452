package stage

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// launch notes that a task's outputs are on their way.
func (s *strand) launch(k *task) {
	k.state, k.pending = sent, int32(len(k.out))
	k.writeAnew()
	s.unacked++
}

// parcel is what one writer gets of some tasks, and whose each record is.
type parcel struct {
	recs   []Raw
	owner  []*task
	copied bool // recs is memory of its own
}

// add takes the first of out into the parcel. As a rule the outputs of a batch
// are sent as they lie in memory, one behind the other, and not copied.
func (p *parcel) add(k *task, out []Raw) {
	n := len(p.recs)
	switch {
	case n == 0:
		p.recs = out[:1]
	case p.copied:
		p.recs = append(p.recs, out[0])
	case n < cap(p.recs) && &p.recs[:n+1][n] == &out[0]:
		p.recs = p.recs[:n+1]
	default:
		p.recs, p.copied = append(p.recs[:n:n], out[0]), true
	}
	p.owner = append(p.owner, k)
}

// send gives the outputs of launched tasks to their writers, in order.
func (e *engine) send(tasks []*task) {
	if len(tasks) == 0 {
		return
	}
	parcels := make([]parcel, len(e.writers))
	parcels[0].owner = make([]*task, 0, len(tasks)) // mostly there are no others
	for _, k := range tasks {
		for i := range k.out {
			parcels[e.writer[k.out[i].target]].add(k, k.out[i:])
		}
	}
	// Only now: a task may be done, and gone, as soon as a writer has it all.
	for n, p := range parcels {
		switch {
		case len(p.recs) == 0:
		case e.lanes.opener != nil && n == e.lanes.writer:
			e.sendByLane(p)
		default:
			e.writers[n].Write(slices.Clip(p.recs), func(i int, err error) { e.acks.add(p.owner[i], err, 0) })
		}
	}
}

// acknowledge takes a writer's word on one output. The caller holds mu.
func (e *engine) acknowledge(a ack) {
	k := a.task
	if !k.resolve(a.err) {
		return
	}
	s := k.strand
	s.unacked--
	if k.state == failed {
		s.mode = writeFailed
	}
	e.progress(s)
}

// progress finishes what is written and, where a write failed, has that and
// all after it written again once nothing of the strand is on its way. The
// caller holds mu.
func (e *engine) progress(s *strand) {
	for s.writing.n > 0 && s.writing.first.state == acked {
		e.finish(s.writing.pop())
	}
	if s.mode == writeFailed && s.unacked == 0 {
		if e.err != nil || s.tenure.lost {
			e.dropAll(&s.writing)
			s.mode = writeNever
			e.unpark()
		} else {
			e.rewriteLater(s)
		}
	}
	e.forget(s)
}

// rewriteLater puts a strand whose first output failed in the workers' way,
// after a pause.
func (e *engine) rewriteLater(s *strand) {
	s.mode = writeAgain
	s.round++
	var pause time.Duration
	for k := range s.writing.all() {
		if k.state != failed {
			continue
		}
		k.trial.failedWrite()
		if !IsPermanent(k.trial.writeErr) && !errors.Is(k.trial.writeErr, ErrRefused) {
			pause = max(pause, e.retry.pause(k.trial.writes, k.trial.writeErr))
		}
	}
	if k := s.writing.first; pause > 0 {
		e.warn("a result was not written and is tried again", k, "attempts", k.trial.writes, "pause", pause, "err", k.trial.writeErr)
	}
	s.tenure.unwritten[s] = struct{}{}
	e.after(pause, func() {
		e.again = append(e.again, s)
		e.work.Signal()
	})
}

// writeAgain sends a strand's outputs from the first failed one on. Those
// behind it are sent again even where they were written: in the target they
// must come after it.
func (e *engine) writeAgain(s *strand) {
	e.mu.Lock()
	if s.mode != writeAgain { // the stage failed meanwhile
		e.mu.Unlock()
		return
	}
	delete(s.tenure.unwritten, s)
	if s.tenure.lost { // somebody else writes these by now
		s.mode = writeFailed
		e.progress(s)
		e.mu.Unlock()
		return
	}
	var broken []*task
	for k := range s.writing.all() {
		if k.state == failed {
			broken = append(broken, k)
		}
	}
	round := s.round
	e.mu.Unlock()

	mended := true
	for _, k := range broken {
		mended = mended && e.mend(k)
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	if !mended {
		s.mode = writeFailed
		e.progress(s)
		return
	}
	for k := range s.writing.all() {
		k.state = held
	}
	// What other workers hold back meanwhile is sent here too, in its turn.
	for s.mode == writeAgain && s.round == round {
		var send []*task
		for k := range s.writing.all() {
			switch {
			case k.state != held:
			case len(k.out) == 0:
				k.state = acked
			default:
				s.launch(k)
				send = append(send, k)
			}
		}
		if len(send) == 0 {
			s.mode = writeThrough
			e.progress(s)
			return
		}
		e.mu.Unlock()
		e.send(send)
		e.mu.Lock()
	}
}

// mend decides what is written for a task whose write failed: the same again,
// or its dead letter. It returns false when the stage has to stop.
func (e *engine) mend(k *task) bool {
	t := k.trial
	permanent := IsPermanent(t.writeErr)
	switch {
	case errors.Is(t.writeErr, ErrRefused):
		e.failRecord(k, StepWrite, t.writes, t.writeErr)
		return false
	case permanent && k.dead:
		e.failRecord(k, StepWrite, t.writes, fmt.Errorf("its dead letter was refused: %w", t.writeErr))
		return false
	case permanent:
		return e.buryTask(k, StepWrite, t.writes, t.writeErr)
	case !errors.Is(t.writeErr, ErrUnavailable) && e.retry.spent(t.writes, t.unwritten):
		e.failRecord(k, StepWrite, t.writes, t.writeErr)
		return false
	}
	return true
}
