package stage

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync"
	"time"
)

// engine runs one stage once. It knows records and their order, and nothing of
// In and Out.
//
// One goroutine reads and admits records, workers take them batch by batch,
// writers acknowledge from goroutines of their own, and a committer tells the
// reader how far the lanes are. All of them meet under mu, which is never held
// over a call to a reader, a writer or the user's code. A record's way is
//
//	read -> admit -> take -> process -> settle -> send -> acknowledge -> finish -> commit
type engine struct {
	settings
	process processFunc
	bury    func(DeadLetter) ([]Raw, error) // nil: there are no dead letters

	reader  Reader
	writers []Writer
	writer  []int // by target, its place in writers; targets that share have the same
	lanes   laneNotes
	watch   sync.WaitGroup
	ended   chan struct{} // closed when no lane needs watching any more
	quiet   limiter       // of lines about records
	held    limiter       // of those about partitions that wait
	acks    acks
	seed    maphash.Seed // of the hashes of keys

	halt  context.CancelFunc // stops the reading
	calls []call             // one a worker
	txn   transactions       // exactly once only

	commits sync.Mutex // held through a commit; taken before mu

	mu       sync.Mutex
	work     sync.Cond // there may be something for a worker
	room     sync.Cond // a record less is in flight, or reading stops
	idle     sync.Cond // a lane or the stage may be finished
	tenures  map[Lane]*tenure
	strands  strands
	parked   map[*tenure]struct{} // have records that wait for room in the done map
	ready    ring[*strand]        // have waiting tasks, and nobody is busy with them
	takeable int                  // how many tasks those have
	since    time.Time            // when takeable rose from 0
	again    []*strand            // their outputs are to be written again
	inFlight int                  // admitted and not finished
	bytes    int                  // of those, in memory
	timers   map[*time.Timer]struct{}
	buried   []time.Time // the last dead letters, as many as DeadLetterLimit allows
	stopped  bool        // nothing more is admitted
	closed   bool        // workers go home
	err      error       // what stopped the stage
}

func newEngine(c settings) *engine {
	e := &engine{
		settings: c,
		calls:    make([]call, c.workers),
		ended:    make(chan struct{}),
		seed:     maphash.MakeSeed(),
		tenures:  make(map[Lane]*tenure),
		parked:   make(map[*tenure]struct{}),
		timers:   make(map[*time.Timer]struct{}),
	}
	e.work.L, e.room.L, e.idle.L, e.txn.news.L = &e.mu, &e.mu, &e.mu, &e.mu
	e.txn.ready = make(map[*tenure]struct{})
	e.acks.news.L = &e.acks.mu
	return e
}

// run opens the ends, works until there is nothing to read or ctx ends, and
// drains.
func (e *engine) run(ctx context.Context, open func(context.Context, Env) (Reader, error), targets []Target) error {
	// What transforms run under. The end of the user's context does not reach
	// it; the end of DrainTimeout does.
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	reading, halt := context.WithCancel(ctx)
	defer halt()
	e.halt = halt

	if err := e.open(ctx, open, targets); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it began
		}
		return fmt.Errorf("stage %q: %w", e.name, err)
	}

	var workers, committer, hearer sync.WaitGroup
	hearer.Go(e.hear)
	for i := range e.calls {
		workers.Go(func() { (&worker{engine: e, now: &e.calls[i]}).toil(work) })
	}
	stopCommits := make(chan struct{})
	committer.Go(func() { e.watchStalls(stopCommits) })
	committer.Go(func() {
		if e.delivery == ExactlyOnce {
			e.transact(work)
		} else {
			e.commitEvery(work, stopCommits)
		}
	})

	unhook := context.AfterFunc(reading, e.stopBeginning)
	defer unhook()
	if err := e.read(reading, work); err != nil {
		e.fail(fmt.Errorf("stage %q: read: %w", e.name, err))
	}
	left := e.drain(reading)
	abandon()
	e.waitForWorkers(&workers, left > 0)
	close(stopCommits)
	committer.Wait()

	err := e.close(work)
	e.acks.end()
	hearer.Wait()
	e.mu.Lock() // a worker that was left behind may fail the stage as late as now
	defer e.mu.Unlock()
	if left > 0 && e.err == nil {
		err = errors.Join(fmt.Errorf("stage %q: %d records were not finished within DrainTimeout (%v); nothing is lost, they are read again by the next run", e.name, left, e.drainTimeout), err)
	}
	return errors.Join(e.err, err)
}

// open opens the writers, then the reader, so that the first record finds
// everything there.
func (e *engine) open(ctx context.Context, open func(context.Context, Env) (Reader, error), targets []Target) error {
	shared := make(map[any]int)
	for _, t := range targets {
		if n, ok := shared[t.Share]; ok && t.Share != nil {
			e.writer = append(e.writer, n)
			continue
		}
		env := e.env()
		env.Topics = sharedTopics(t, targets)
		w, err := t.Open(ctx, env)
		if err != nil {
			return errors.Join(err, e.undo(ctx))
		}
		if t.Share != nil {
			shared[t.Share] = len(e.writers)
		}
		e.writer = append(e.writer, len(e.writers))
		e.writers = append(e.writers, w)
	}
	if err := e.findOpener(); err != nil {
		return errors.Join(err, e.undo(ctx))
	}
	if e.delivery == ExactlyOnce {
		w, ok := e.writers[0].(TxnWriter)
		if !ok || len(e.writers) > 1 {
			return errors.Join(errors.New("the sinks do not share one transaction"), e.undo(ctx))
		}
		e.txn.writer = w
	}
	env := e.env()
	env.Notes = e.lanes.opener != nil
	r, err := open(ctx, env)
	if err != nil {
		return errors.Join(err, e.undo(ctx))
	}
	e.reader = r
	return nil
}

// sharedTopics are the topics of the targets that share a writer with t.
func sharedTopics(t Target, all []Target) (topics []string) {
	for _, other := range all {
		if other.Topic != "" && other.Share == t.Share && (t.Share != nil || other.Topic == t.Topic) {
			topics = append(topics, other.Topic)
		}
	}
	return topics
}

// undo closes what was opened before something else could not be.
func (e *engine) undo(ctx context.Context) error {
	ctx, cancel := e.grace(ctx)
	defer cancel()
	return e.closeWriters(ctx)
}

// read admits what the reader delivers until it ends or reading stops.
func (e *engine) read(ctx, work context.Context) error {
	for {
		b, err := e.reader.Read(ctx)
		switch {
		case err == nil:
			e.admit(work, b)
		case errors.Is(err, io.EOF):
			e.awaitParked()
			return nil
		case ctx.Err() != nil:
			return nil //nolint:nilerr // told to stop, it stopped: whatever Read says of that
		default:
			return err
		}
	}
}

// fail stops the stage for err: what has begun is finished, the rest dropped.
func (e *engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failNow(err)
}

// failNow is fail for who holds mu.
func (e *engine) failNow(err error) {
	if e.err != nil {
		return
	}
	e.err = err
	e.stopped = true // at once: what is admitted from here on would not be dropped
	e.halt()
	for _, t := range e.tenures {
		e.dropWaiting(t)
	}
	e.idle.Broadcast()
	e.work.Broadcast()
}

// stopBeginning drops what no worker has begun: the stage is told to stop.
func (e *engine) stopBeginning() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopAdmitting()
	for _, t := range e.tenures {
		e.dropWaiting(t)
	}
	e.idle.Broadcast()
}

// stopAdmitting lets nothing more in. The caller holds mu.
func (e *engine) stopAdmitting() {
	e.stopped = true
	e.txn.news.Broadcast() // nor does a transaction stay open
	e.room.Broadcast()
	e.work.Broadcast() // nobody lingers for more
}

// drain waits until nothing is in flight, sends the workers home, and returns
// how many records could not be finished in time. A source that has ended is
// no hurry: the time runs from when the stage is told to stop, or fails.
func (e *engine) drain(stop context.Context) (left int) {
	late := false
	var timer *time.Timer
	unhook := context.AfterFunc(stop, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.closed {
			return
		}
		timer = time.AfterFunc(e.drainTimeout, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			late = true
			e.idle.Broadcast()
		})
	})
	defer unhook()
	if stop.Err() != nil {
		e.stopBeginning() // before a worker that lingers is woken: it would begin
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopAdmitting()
	for e.inFlight > 0 && !late {
		e.idle.Wait()
	}
	e.closed = true
	if timer != nil {
		timer.Stop()
	}
	for t := range e.timers {
		t.Stop()
	}
	e.work.Broadcast()
	return e.inFlight
}

// waitForWorkers waits for the workers, but not for ever: a transform that
// ignores the end of its context, or a write to a broker that is away, must not
// keep the process from stopping.
func (e *engine) waitForWorkers(workers *sync.WaitGroup, late bool) {
	if !late {
		workers.Wait()
		return
	}
	gone := make(chan struct{})
	go func() {
		workers.Wait()
		close(gone)
	}()
	grace := time.NewTimer(e.drainTimeout/10 + time.Second)
	defer grace.Stop()
	select {
	case <-gone:
	case <-grace.C:
		e.log.Warn("a transform, or a write, does not return although its context has ended; its goroutine is left behind")
	}
}

// close commits what is done, gives every lane back, and closes the ends, all
// within one grace.
func (e *engine) close(ctx context.Context) error {
	ctx, cancel := e.grace(ctx)
	defer cancel()
	e.mu.Lock()
	for _, t := range e.tenures {
		t.revoked = true
		t.lost = true
	}
	e.idle.Broadcast()
	for _, t := range e.tenures {
		t.endWriting()
	}
	e.mu.Unlock()
	close(e.ended)
	e.watch.Wait()

	e.lastCommit(ctx, e.commitMoved)
	e.mu.Lock()
	lanes := e.tenures
	e.tenures = make(map[Lane]*tenure)
	e.mu.Unlock()
	for l := range lanes {
		l.Release()
	}
	err := e.reader.Close(ctx)
	if err != nil {
		err = fmt.Errorf("close the source: %w", err)
	}
	return errors.Join(err, e.closeWriters(ctx))
}

func (e *engine) closeWriters(ctx context.Context) error {
	var errs []error
	for _, w := range e.writers {
		if err := w.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close a sink: %w", err))
		}
	}
	return errors.Join(errs...)
}

// grace is the context of what must still be done after another has ended.
func (e *engine) grace(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), e.drainTimeout)
}

// after runs f under mu once d has passed, unless the stage has ended by then.
// The caller holds mu.
func (e *engine) after(d time.Duration, f func()) {
	if d <= 0 {
		f()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.timers, timer)
		if !e.closed {
			f()
		}
	})
	e.timers[timer] = struct{}{}
}
