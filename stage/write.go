package stage

import (
	"errors"
	"fmt"
	"time"
)

// launch notes that a task's outputs are on their way.
func (s *strand) launch(k *task) {
	k.state, k.pending, k.writeErr = sent, len(k.out), nil
	s.unacked++
}

// send gives the outputs of launched tasks to their writers, in order. A task
// without outputs is acknowledged at once.
func (e *engine) send(tasks []*task) {
	for n, w := range e.writers {
		var recs []Raw
		var owner []*task
		for _, k := range tasks {
			for _, o := range k.out {
				if e.writer[o.target] == n {
					recs = append(recs, o.raw)
					owner = append(owner, k)
				}
			}
		}
		if len(recs) > 0 {
			w.Write(recs, func(i int, err error) { e.acknowledge(owner[i], err) })
		}
	}
}

// acknowledge takes a writer's word on one output.
func (e *engine) acknowledge(k *task, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !k.resolve(err) {
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
	for _, k := range s.popAcked() {
		e.finish(k)
	}
	if s.mode == writeFailed && s.unacked == 0 {
		if e.err != nil || s.tenure.lost {
			e.drop(s.writing)
			s.writing, s.mode = nil, writeNever
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
	for _, k := range s.writing {
		if k.state != failed {
			continue
		}
		if k.writes++; k.writes == 1 {
			k.unwritten = time.Now()
		}
		if !IsPermanent(k.writeErr) {
			pause = max(pause, e.retry.pause(k.writes, k.writeErr))
		}
	}
	if k := s.writing[0]; pause > 0 {
		e.warn("a result was not written and is tried again", k, "attempts", k.writes, "pause", pause, "err", k.writeErr)
	}
	e.pause(s, pause, func() {
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
	if s.tenure.lost { // somebody else writes these by now
		s.mode = writeFailed
		e.progress(s)
		e.mu.Unlock()
		return
	}
	var broken []*task
	for _, k := range s.writing {
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
	for _, k := range s.writing {
		k.state = held
	}
	// What other workers hold back meanwhile is sent here too, in its turn.
	for s.mode == writeAgain && s.round == round {
		var send []*task
		for _, k := range s.writing {
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
	permanent := IsPermanent(k.writeErr)
	switch {
	case permanent && k.dead:
		e.failRecord(k, StepWrite, k.writes, fmt.Errorf("its dead letter was refused: %w", k.writeErr))
		return false
	case permanent:
		return e.buryTask(k, StepWrite, k.writes, k.writeErr)
	case !errors.Is(k.writeErr, ErrUnavailable) && e.retry.spent(k.writes, k.unwritten):
		e.failRecord(k, StepWrite, k.writes, k.writeErr)
		return false
	}
	return true
}
