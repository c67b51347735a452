package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// transactions is the exactly-once half of the engine. Records wait in their
// lane's line, in the order of delivery, until all before them are made too.
// Then they enter the transaction that is open. One goroutine begins, fills
// and ends transactions, one after the other.
type transactions struct {
	writer TxnWriter
	news   sync.Cond            // something for that goroutine to look at; under the engine's mu
	ready  map[*tenure]struct{} // the front of their line may enter
	tasks  []*task              // in the open transaction
	round  int                  // counts transactions: late answers of an earlier one mean nothing
	unsure int                  // outputs whose writer has not answered
	failed bool                 // a write has failed
	due    bool                 // open for CommitInterval
}

// errTakenAway undoes a transaction that holds results of a lost lane.
var errTakenAway = errors.New("a partition was taken away")

// line is what exactly-once delivery keeps of a lane.
type line struct {
	tasks   ring[*task] // delivered and not published, in that order
	entered int         // how many of them are in the open transaction
}

// next reports whether the front of the line may enter the transaction.
func (l *line) next() bool {
	return l.entered < l.tasks.n && (*l.tasks.at(l.entered)).made
}

// made notes that a task's outputs are known.
func (e *engine) made(k *task) {
	k.made = true
	t := k.tenure
	if l := &t.line; l.next() {
		e.txn.ready[t] = struct{}{}
		e.txn.news.Signal()
	}
}

// cut ends a lane's line at the first task that was dropped: what is behind
// it is not published in this tenure. The caller holds mu.
func (e *engine) cut(t *tenure) {
	l := &t.line
	first := 0
	for first < l.tasks.n && !(*l.tasks.at(first)).gone {
		first++
	}
	for i := first; i < l.tasks.n; i++ {
		k := *l.tasks.at(i)
		if k.made && !k.gone {
			e.leave(k)
		}
		k.gone = true // a worker that still has it drops it
	}
	l.tasks.cut(first)
	if l.entered == first {
		delete(e.txn.ready, t)
	}
}

// transact publishes what is ready until ctx ends.
func (e *engine) transact(ctx context.Context) {
	unhook := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.txn.news.Broadcast()
	})
	defer unhook()
	failures := 0
	for e.awaitReady(ctx) {
		undone, err := e.transaction(ctx)
		if IsPermanent(err) {
			e.fail(fmt.Errorf("stage %q: %w", e.name, err))
			break
		}
		switch err = cmp.Or(err, undone); {
		case err == nil:
			failures = 0
		case errors.Is(err, errTakenAway) || IsPermanent(err):
			// What is left of it can be published at once.
		default:
			failures++
			e.pauseTransactions(ctx, failures, err)
		}
	}
	e.giveUpPublishing()
}

func (e *engine) pauseTransactions(ctx context.Context, failures int, err error) {
	pause := e.retry.pause(failures, err)
	if ctx.Err() == nil {
		e.log.Warn("a transaction did not take effect; its records go into another one", "failures", failures, "pause", pause, "err", err)
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// awaitReady waits for something to publish, and returns false at the end.
func (e *engine) awaitReady(ctx context.Context) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.txn.ready) == 0 && ctx.Err() == nil {
		e.txn.news.Wait()
	}
	return ctx.Err() == nil
}

// transaction publishes once. It returns why the transaction had to be undone,
// and what the writer has to say; both nil if it took effect.
func (e *engine) transaction(ctx context.Context) (undone, err error) {
	if err := e.txn.writer.Begin(ctx); err != nil {
		return nil, err
	}
	e.fillTransaction(ctx)
	marks, undone := e.sum(ctx)
	if undone != nil {
		e.mendRefused()
		err = e.txn.writer.Abort(ctx)
	} else {
		err = e.txn.writer.Commit(ctx, marks)
	}
	if errors.Is(err, ErrFenced) {
		e.loseRevoked()
	}
	e.conclude(undone == nil && err == nil)
	return undone, err
}

// fillTransaction writes what becomes ready until the transaction has to end,
// then waits until the writer has answered for everything in it.
func (e *engine) fillTransaction(ctx context.Context) {
	x := &e.txn
	e.mu.Lock()
	defer e.mu.Unlock()
	x.round++
	x.due = false
	round := x.round
	timer := time.AfterFunc(e.commitInterval, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if x.round == round {
			x.due = true
			x.news.Broadcast()
		}
	})
	defer timer.Stop()
	for !x.failed && ctx.Err() == nil {
		if send := e.collect(); len(send) > 0 {
			e.mu.Unlock()
			e.enterTransaction(ctx, round, send)
			e.mu.Lock()
			continue
		}
		if e.mustEnd() {
			break
		}
		x.news.Wait()
	}
	// All answers count: behind the first that failed there may be the one
	// that is to blame.
	for x.unsure > 0 && ctx.Err() == nil && !e.anyLost() {
		x.news.Wait()
	}
}

// mustEnd reports whether the open transaction takes nothing more.
func (e *engine) mustEnd() bool {
	if e.txn.due || e.stopped || len(e.txn.tasks) >= e.transactionSize() {
		return true
	}
	return e.anyIn(func(t *tenure) bool { return t.revoked })
}

// anyIn reports whether the open transaction holds outputs of a lane that is so.
func (e *engine) anyIn(is func(*tenure) bool) bool {
	for _, t := range e.tenures {
		if t.line.entered > 0 && is(t) {
			return true
		}
	}
	return false
}

// transactionSize bounds a transaction, so that the next one can be made
// while this one is committed.
func (e *engine) transactionSize() int { return max(1, e.maxInFlight/2) }

// anyLost reports whether the open transaction holds outputs of a lane that is
// lost.
func (e *engine) anyLost() bool { return e.anyIn(func(t *tenure) bool { return t.lost }) }

// collect moves what is ready into the transaction. The caller holds mu.
func (e *engine) collect() (send []*task) {
	for t := range e.txn.ready {
		l := &t.line
		for l.next() {
			if len(e.txn.tasks) >= e.transactionSize() {
				return send
			}
			k := *l.tasks.at(l.entered)
			l.entered++
			e.txn.tasks = append(e.txn.tasks, k)
			e.txn.unsure += len(k.out)
			send = append(send, k)
		}
		delete(e.txn.ready, t)
	}
	return send
}

// enterTransaction gives outputs to the writer. At the end of ctx it leaves
// behind a Write that blocks.
func (e *engine) enterTransaction(ctx context.Context, round int, tasks []*task) {
	var p parcel
	for _, k := range tasks {
		k.writeAnew()
		for i := range k.out {
			p.add(k, k.out[i:])
		}
	}
	if len(p.recs) == 0 {
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		e.txn.writer.Write(slices.Clip(p.recs), func(i int, err error) { e.acks.add(p.owner[i], err, round) })
	}()
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// entered takes the writer's word on one output of the open transaction. The
// caller holds mu.
func (e *engine) entered(a ack) {
	x := &e.txn
	if x.round != a.round {
		return
	}
	x.unsure--
	if a.err != nil {
		x.failed = true
		a.task.blame(a.err)
	}
	if x.unsure == 0 || x.failed {
		x.news.Broadcast()
	}
}

// sum gives what a commit of the open transaction says, or why it must not be
// committed.
func (e *engine) sum(ctx context.Context) (map[Lane]Mark, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := &e.txn
	x.round++ // answers that come from here on are too late
	switch {
	case x.failed:
		i := slices.IndexFunc(x.tasks, func(k *task) bool { return k.writeErr() != nil })
		return nil, x.tasks[i].writeErr()
	case e.anyLost():
		return nil, errTakenAway
	case x.unsure > 0:
		return nil, ctx.Err()
	}
	marks := make(map[Lane]Mark)
	for _, k := range x.tasks {
		marks[k.tenure.lane] = Mark{Offset: k.raw.Offset + 1}
	}
	return marks, nil
}

// mendRefused decides what is written instead of outputs that failed. A
// record that can't be mended stops the stage, and its lane's line ends there.
func (e *engine) mendRefused() {
	e.mu.Lock()
	tasks := e.txn.tasks
	e.mu.Unlock()
	for _, k := range tasks {
		if k.writeErr() == nil || e.isLost(k.tenure) {
			continue
		}
		k.trial.failedWrite()
		if e.mend(k) {
			continue
		}
		e.mu.Lock()
		k.tenure.line.entered = 0
		e.drop(k)
		e.cut(k.tenure)
		e.mu.Unlock()
	}
}

// conclude ends the open transaction: its records are finished, or ready for
// another one.
func (e *engine) conclude(committed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := &e.txn
	tasks := x.tasks
	x.tasks, x.unsure, x.failed = nil, 0, false
	lanes := make(map[*tenure]struct{})
	for _, k := range tasks {
		t := k.tenure
		lanes[t] = struct{}{}
		if committed {
			t.line.tasks.pop() // k is its first: they entered in this order
			e.finish(k)
		}
	}
	for t := range lanes {
		t.line.entered = 0
		if t.lost {
			e.discard(t)
		} else if t.line.next() {
			x.ready[t] = struct{}{}
		}
	}
	e.idle.Broadcast()
}

// discard drops all that is not published of a lane. The caller holds mu.
func (e *engine) discard(t *tenure) {
	if t.line.tasks.n > 0 {
		k := *t.line.tasks.at(0)
		if k.made {
			e.drop(k)
		}
		k.gone = true
		e.cut(t)
	}
}

// loseRevoked gives up the lanes of the open transaction that are being taken
// away: the broker says that somebody else has them.
func (e *engine) loseRevoked() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.txn.tasks {
		if t := k.tenure; t.revoked {
			t.lost = true
		}
	}
}

// giveUpPublishing drops everything: there will be no more transactions.
func (e *engine) giveUpPublishing() {
	e.mu.Lock()
	for _, t := range e.tenures {
		t.lost = true
		t.line.entered = 0
		e.discard(t)
	}
	e.mu.Unlock()
	e.conclude(false)
}
