package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// worker is one of a stage's workers, with what it has in hand. Its slices are
// filled again and again.
type worker struct {
	*engine
	now     *call // for who watches it
	batch   []*task
	recs    []*Raw
	results []outcome
	shares  []share
	send    []*task
}

// toil is the life of a worker.
func (w *worker) toil(ctx context.Context) {
	for {
		again, ok := w.take()
		switch {
		case !ok:
			return
		case again != nil:
			w.writeAgain(again)
		default:
			for _, k := range w.batch {
				w.recs = append(w.recs, k.raw)
			}
			w.now.begin(w.batch)
			w.results = w.process(ctx, w.recs, slices.Grow(w.results, len(w.recs))[:len(w.recs)])
			w.now.end()
			w.settle(ctx)
			w.letGo()
		}
	}
}

// letGo empties the worker's hands: nothing of a batch that is over stays in
// memory.
func (w *worker) letGo() {
	clear(w.batch)
	clear(w.recs)
	clear(w.results)
	clear(w.shares)
	clear(w.send)
	w.batch, w.recs, w.results, w.shares, w.send = w.batch[:0], w.recs[:0], w.results[:0], w.shares[:0], w.send[:0]
}

// take waits for work: a batch, or a strand whose outputs are to be written
// again. It returns false when there will be none.
func (w *worker) take() (again *strand, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.closed:
			return nil, false
		case len(w.again) > 0:
			again, w.again = w.again[0], w.again[1:]
			return again, true
		case w.takeable == 0:
			w.work.Wait()
			continue
		}
		var left time.Duration
		if w.batchWait > 0 && !w.stopped && w.takeable < w.batchSize {
			left = time.Until(w.since.Add(w.batchWait))
		}
		if left <= 0 {
			w.fill()
			return nil, true
		}
		wake := time.AfterFunc(left, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.work.Broadcast()
		})
		w.work.Wait()
		wake.Stop()
	}
}

// fill makes a batch of what is ready, strand by strand.
func (w *worker) fill() {
	batch := w.batch
	most := w.batchSize
	for len(batch) < most && w.ready.n > 0 {
		s := *w.ready.at(0)
		if len(batch) >= s.waiting.first.atMost(most) {
			break // it has to be in a smaller batch
		}
		w.ready.pop()
		w.takeable -= s.waiting.n
		s.busy = true
		for s.waiting.n > 0 && len(batch) < s.waiting.first.atMost(most) {
			most = s.waiting.first.atMost(most)
			batch = append(batch, s.waiting.pop())
		}
	}
	if w.takeable > 0 {
		w.work.Signal()
	}
	w.batch = batch
}

// atMost is how large a batch may be with k in it.
func (k *task) atMost(size int) int {
	if k.trial != nil && k.trial.batch > 0 {
		return min(size, k.trial.batch)
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
func (w *worker) settle(ctx context.Context) {
	batch, results := w.batch, w.results
	for i := 0; i < len(batch); {
		j := i + 1
		for j < len(batch) && batch[j].strand == batch[i].strand {
			j++
		}
		w.shares = append(w.shares, w.judge(ctx, batch[i:j], results[i:j]))
		i = j
	}

	w.mu.Lock()
	for i := range w.shares {
		w.keep(&w.shares[i])
	}
	w.mu.Unlock()

	// The strands stay busy until the writers have their outputs: another
	// worker could otherwise overtake this one on the way there.
	w.engine.send(w.send)

	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.shares {
		s := h.strand
		if s.tenure.revoked && s.waiting.n > 0 { // nobody else knows of a strand in these hands
			w.dropAll(&s.waiting)
			w.cut(s.tenure)
		}
		if h.pause <= 0 || s.waiting.n == 0 {
			w.free(s)
		} else {
			w.pause(s, h.pause)
		}
	}
	w.unpark() // into the room of what was dropped
}

// judge decides, in the strand's order, what the outcomes mean. It stops at
// the first task to be tried again: those behind it must come after it.
func (e *engine) judge(ctx context.Context, tasks []*task, results []outcome) share {
	h := share{strand: tasks[0].strand, tasks: tasks}
	for i, k := range tasks {
		r := &results[i]
		if r.err == nil || r.batch == 1 && errors.Is(r.err, ErrSkip) {
			k.out = r.out
			h.n++
			continue
		}
		_, paused := errors.AsType[*retryAfterError](r.err)
		switch {
		case ctx.Err() != nil:
			return h // it failed because the stage is ending: not its fault
		case e.isLost(h.strand.tenure):
			return h // nobody is to hear of it
		case r.batch > 1 && !paused:
			// Which one was it? Each half is tried by itself, at once.
			for _, k := range tasks[i:] {
				k.tried().batch = r.batch / 2
			}
			return h
		}
		t := k.tried()
		if t.attempts++; t.attempts == 1 {
			t.failing = time.Now()
			k.raw = k.raw.clone() // it may stay long, and must not keep a whole fetch in memory
		}
		if !IsPermanent(r.err) && !e.retry.spent(t.attempts, t.failing) {
			h.pause = e.retry.pause(t.attempts, r.err)
			e.warn("a record failed and is tried again", k, "step", string(r.step), "attempts", t.attempts, "pause", h.pause, "err", r.err)
			return h
		}
		if !e.buryTask(k, r.step, t.attempts, r.err) {
			return h
		}
		h.n++
	}
	return h
}

// isLost reports whether what comes of a lane no longer matters.
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
		Record: *k.raw, Stage: e.name, Step: step, Err: reason, Attempts: attempts, Time: time.Now(),
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

// keep enters a share into its strand, and what is to be sent into w.send.
func (w *worker) keep(h *share) {
	s, t := h.strand, h.strand.tenure
	if t.lost || s.mode == writeNever {
		for _, k := range h.tasks { // nobody waits for these any more
			w.drop(k)
		}
		return
	}
	for _, k := range h.tasks[:h.n] {
		switch {
		case k.gone:
			w.leave(k)
			continue
		case w.delivery == ExactlyOnce:
			w.made(k)
			continue
		}
		s.writing.push(k)
		switch {
		case len(k.out) == 0 && s.mode == writeThrough:
			k.state = acked
		case s.mode == writeThrough:
			s.launch(k)
			w.send = append(w.send, k)
		}
	}
	s.waiting.putBack(h.tasks[h.n:])
	w.progress(s)
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
