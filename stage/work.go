package stage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// toil is the life of a worker.
func (e *engine) toil(ctx context.Context) {
	for {
		batch, again, ok := e.take()
		switch {
		case !ok:
			return
		case again != nil:
			e.writeAgain(again)
		default:
			e.settle(ctx, batch, e.process(ctx, raws(batch)))
		}
	}
}

func raws(batch []*task) []*Raw {
	recs := make([]*Raw, len(batch))
	for i, k := range batch {
		recs[i] = &k.raw
	}
	return recs
}

// take waits for work: a batch, or a strand whose outputs are to be written
// again. It returns false when there will be none.
func (e *engine) take() (batch []*task, again *strand, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		switch {
		case e.closed:
			return nil, nil, false
		case len(e.again) > 0:
			again, e.again = e.again[0], e.again[1:]
			return nil, again, true
		case e.takeable == 0:
			e.work.Wait()
			continue
		}
		left := time.Until(e.since.Add(e.batchWait))
		if e.batchWait == 0 || e.stopped || e.takeable >= e.batchSize || left <= 0 {
			return e.fill(), nil, true
		}
		wake := time.AfterFunc(left, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.work.Broadcast()
		})
		e.work.Wait()
		wake.Stop()
	}
}

// fill makes a batch of what is ready, strand by strand.
func (e *engine) fill() []*task {
	var batch []*task
	most := e.batchSize
	for len(batch) < most && len(e.ready) > 0 {
		s := e.ready[0]
		n := 0
		for n < len(s.waiting) && len(batch)+n < s.waiting[n].atMost(most) {
			most = s.waiting[n].atMost(most)
			n++
		}
		if n == 0 {
			break // it has to be in a smaller batch
		}
		e.ready = e.ready[1:]
		e.takeable -= len(s.waiting)
		s.busy = true
		batch = append(batch, s.waiting[:n]...)
		s.waiting = s.waiting[n:]
	}
	if e.takeable > 0 {
		e.work.Signal()
	}
	return batch
}

// atMost is how large a batch may be with k in it.
func (k *task) atMost(size int) int {
	if k.batch > 0 {
		return min(size, k.batch)
	}
	return size
}

// share is the part of a batch that belongs to one strand, and what became of
// it: the first n tasks have their outputs, the others are tried again after
// a pause.
type share struct {
	strand *strand
	tasks  []*task
	n      int
	pause  time.Duration
}

// settle takes a batch out of a worker's hands: outputs to their writers,
// failures back to their strands.
func (e *engine) settle(ctx context.Context, batch []*task, results []outcome) {
	var shares []share
	for i := 0; i < len(batch); {
		j := i + 1
		for j < len(batch) && batch[j].strand == batch[i].strand {
			j++
		}
		h := share{strand: batch[i].strand, tasks: batch[i:j]}
		if !e.isLost(h.strand.tenure) {
			h = e.judge(ctx, h.tasks, results[i:j])
		}
		shares = append(shares, h)
		i = j
	}

	var send []*task
	e.mu.Lock()
	for _, h := range shares {
		send = append(send, e.keep(h)...)
	}
	e.mu.Unlock()

	// The strands stay busy until the writers have their outputs: another
	// worker could otherwise overtake this one on the way there.
	e.send(send)

	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range shares {
		e.pause(h.strand, h.pause, func() { e.free(h.strand) })
	}
}

// judge decides, in the strand's order, what the outcomes mean. It stops at
// the first task to be tried again: those behind it must come after it.
func (e *engine) judge(ctx context.Context, tasks []*task, results []outcome) share {
	h := share{strand: tasks[0].strand, tasks: tasks}
	for i, k := range tasks {
		r := results[i]
		_, paused := errors.AsType[*retryAfterError](r.err)
		switch {
		case r.err == nil, errors.Is(r.err, ErrSkip) && r.batch == 1:
			k.out = r.out
			h.n++
			continue
		case ctx.Err() != nil:
			return h // it failed because the stage is ending: not its fault
		case r.batch > 1 && !paused:
			// Which one was it? Each half is tried by itself, at once.
			for _, k := range tasks[i:] {
				k.batch = r.batch / 2
			}
			return h
		}
		k.attempts++
		if k.attempts == 1 {
			k.failing = time.Now()
		}
		if !IsPermanent(r.err) && !e.retry.spent(k.attempts, k.failing) {
			h.pause = e.retry.pause(k.attempts, r.err)
			e.warn("a record failed and is tried again", k, "step", string(r.step), "attempts", k.attempts, "pause", h.pause, "err", r.err)
			return h
		}
		if !e.buryTask(k, r.step, k.attempts, r.err) {
			return h
		}
		h.n++
	}
	return h
}

// isLost reports whether what comes of a lane no longer matters: nobody is to
// hear of its failures.
func (e *engine) isLost(t *tenure) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return t.lost
}

// buryTask makes a dead letter the output of a task. Without dead letters it
// stops the stage and returns false.
func (e *engine) buryTask(k *task, step Step, attempts int, reason error) bool {
	if e.bury == nil {
		e.failRecord(k, step, attempts, reason)
		return false
	}
	out, err := e.bury(DeadLetter{
		Record: k.raw, Stage: e.name, Step: step, Err: reason, Attempts: attempts, Time: time.Now(),
	})
	if err != nil {
		e.failRecord(k, step, attempts, fmt.Errorf("%w; and its dead letter could not be encoded: %w", reason, err))
		return false
	}
	if e.overLimit(time.Now()) {
		e.failRecord(k, step, attempts, fmt.Errorf("%w; it is one of %d dead letters within %v, which is DeadLetterLimit: is it the stage that is wrong, not the records?", reason, e.deadLimit.Count, e.deadLimit.Within))
		return false
	}
	e.warn("a record is a dead letter", k, "step", string(step), "attempts", attempts, "err", reason)
	k.out, k.dead = out, true
	return true
}

// overLimit counts a dead letter and reports whether it is one too many.
func (e *engine) overLimit(now time.Time) bool {
	if e.deadLimit.Count == 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buried = append(e.buried, now)
	if len(e.buried) > e.deadLimit.Count {
		e.buried = e.buried[1:]
	}
	return len(e.buried) == e.deadLimit.Count && now.Sub(e.buried[0]) < e.deadLimit.Within
}

// failRecord stops the stage because of one record.
func (e *engine) failRecord(k *task, step Step, attempts int, reason error) {
	e.fail(&RecordError{
		Stage: e.name, Topic: k.raw.Topic, Partition: k.raw.Partition, Offset: k.raw.Offset,
		Step: step, Attempts: attempts, Err: reason,
	})
}

// keep enters a share into its strand and returns what is to be sent.
func (e *engine) keep(h share) (send []*task) {
	s, t := h.strand, h.strand.tenure
	if t.lost || s.mode == writeNever {
		e.drop(h.tasks) // nobody waits for these any more
		return nil
	}
	for _, k := range h.tasks[:h.n] {
		switch {
		case k.gone:
			e.leave(k)
			continue
		case e.delivery == ExactlyOnce:
			e.made(k)
			continue
		}
		s.writing = append(s.writing, k)
		switch {
		case len(k.out) == 0 && s.mode == writeThrough:
			k.state = acked
		case s.mode == writeThrough:
			s.launch(k)
			send = append(send, k)
		}
	}
	if rest := h.tasks[h.n:]; t.revoked {
		e.drop(rest)
		e.cut(t)
	} else {
		s.putBack(rest)
	}
	e.progress(s)
	return send
}

// warn logs what happened to a record, at most a line a second.
func (e *engine) warn(msg string, k *task, args ...any) {
	if missed, ok := e.quiet.allow(time.Now()); ok {
		if missed > 0 {
			args = append(args, "lines_left_out", missed)
		}
		e.log.Warn(msg, append([]any{"topic", k.raw.Topic, "partition", k.raw.Partition, "offset", k.raw.Offset}, args...)...)
	}
}
