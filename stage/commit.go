package stage

import (
	"context"
	"time"
)

// commitEvery commits what has moved once per CommitInterval.
func (e *engine) commitEvery(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(e.commitInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-e.lanes.soon:
		case <-stop:
			return
		}
		limited, cancel := e.grace(ctx)
		if err := e.commitMoved(limited); err != nil {
			e.log.Warn("progress could not be committed and will be again", "err", err)
		}
		cancel()
	}
}

// commitMoved commits every lane of which more is done.
func (e *engine) commitMoved(ctx context.Context) error {
	e.commits.Lock()
	defer e.commits.Unlock()
	e.mu.Lock()
	var moved []*tenure
	for _, t := range e.tenures {
		if t.tracker.Changes() != t.committed || t.out != nil {
			moved = append(moved, t)
		}
	}
	e.mu.Unlock()
	return e.commit(ctx, moved...)
}

// commit tells the reader how far the lanes are. It runs without mu: a commit
// may wait for the broker, and for a rebalance that itself waits for a lane.
// The caller holds commits, so that none overtakes another.
func (e *engine) commit(ctx context.Context, tenures ...*tenure) error {
	if e.delivery == ExactlyOnce { // transactions do it
		return nil
	}
	marks := make(map[Lane]Mark)
	changes := make(map[*tenure]uint64)
	e.mu.Lock()
	for _, t := range tenures {
		at, ok := t.tracker.LowWater()
		if !ok && t.out != nil && t.tracker.Pending() > 0 { // nothing is done, but there may be a note
			at, ok = t.tracker.First(), true
		}
		if ok {
			m := Mark{Offset: at}
			if t.resume != nil {
				m.Done = t.tracker.DoneMap(t.done)
			}
			marks[t.lane], changes[t] = m, t.tracker.Changes()
		}
	}
	e.mu.Unlock()
	e.addNotes(marks, changes)
	if len(marks) == 0 {
		return nil
	}
	if err := e.reader.Commit(ctx, marks); err != nil {
		return err
	}
	noted(marks, changes)
	e.mu.Lock()
	defer e.mu.Unlock()
	for t, n := range changes {
		t.committed = n
	}
	return nil
}

// lastCommit commits what will have no other chance, and so tries until ctx
// ends, or the reader says that it never can. What it can't commit is done
// again by whoever reads it next.
func (e *engine) lastCommit(ctx context.Context, commit func(context.Context) error) {
	pause := 50 * time.Millisecond
	for {
		err := commit(ctx)
		if err == nil {
			return
		}
		if !IsPermanent(err) {
			select {
			case <-time.After(pause):
				pause = min(2*pause, 2*time.Second)
				continue
			case <-ctx.Done():
			}
		}
		e.log.Warn("the last progress of partitions could not be committed; it is done again by whoever reads them next", "err", err)
		return
	}
}

// giveUp ends a tenure that was revoked: what has begun is finished within
// DrainTimeout, the rest dropped, the mark committed, the lane released.
func (e *engine) giveUp(ctx context.Context, t *tenure) {
	late := time.AfterFunc(e.drainTimeout, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if t.inFlight > 0 {
			topic, partition := t.lane.ID()
			e.log.Warn("a partition was taken away before its records were finished; whoever gets it does them again",
				"topic", topic, "partition", partition, "records", t.inFlight)
		}
		t.lost = true
		e.idle.Broadcast()
		e.txn.news.Broadcast()
	})
	defer late.Stop()

	e.mu.Lock()
	e.dropWaiting(t)
	for t.inFlight > 0 && !t.lost {
		e.idle.Wait()
	}
	// A transaction that holds its results ends before the lane does.
	for t.line.entered > 0 {
		e.txn.news.Broadcast()
		e.idle.Wait()
	}
	e.discard(t)
	t.endWriting()
	e.mu.Unlock()

	e.commits.Lock()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.drainTimeout/2)
	defer cancel()
	e.lastCommit(grace, func(ctx context.Context) error { return e.commit(ctx, t) })
	e.mu.Lock()
	t.lost = true
	delete(e.tenures, t.lane)
	e.mu.Unlock()
	e.commits.Unlock()
	t.lane.Release()
}
