package stagetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

func testPause[T any](tb testing.TB, f SourceFixture[T]) {
	recs, parts := f.put(10*f.partitions(), 0)
	r := f.open(tb)
	r.readTo(len(recs))
	held, ok := r.lanes[0].(stage.ResumableLane)
	if !ok {
		r.close()
		tb.Skip("its lanes are not ResumableLanes")
	}
	within(tb, "Pause", held.Pause)
	more, moreParts := f.put(10*f.partitions(), len(recs))
	r.readTo(r.n + len(more) - len(moreParts[0])) // the other lanes go on
	if len(r.got[0]) > len(parts[0]) {
		tb.Fatalf("%d records of a lane came after Pause", len(r.got[0])-len(parts[0]))
	}
	r.nothingMore()
	resumed := make(chan struct{})
	time.AfterFunc(moment, func() { // while a Read waits
		defer close(resumed)
		within(tb, "Resume", held.Resume)
	})
	r.readTo(len(recs) + len(more))
	<-resumed
	for p := range f.partitions() {
		r.compare(p, append(parts[p], moreParts[p]...))
	}
	r.close()
}

// The marks of testRevoke: what is done at first, and when the lane goes, of
// how many.
const (
	doneBefore  = 2
	doneAtLast  = 5
	doneInPlace = 12
)

// testRevoke takes lanes away in the middle and gives them back: what one
// tenure leaves, no more and no less, the next one gets.
func testRevoke[T any](tb testing.TB, f SourceFixture[T]) {
	recs, parts := f.put(doneInPlace*f.partitions(), 0)
	r := f.open(tb)
	r.readTo(len(recs))
	w := &watching[T]{
		tb: tb, r: r, news: make(chan struct{}, 1),
		last: make(map[int]stage.Mark), late: make(map[int]stage.Mark),
		released: make(map[stage.Lane]bool), settled: make(map[stage.Lane]bool), later: make(map[stage.Lane]*reading[T]),
	}
	marks := make(map[stage.Lane]stage.Mark)
	for p, l := range r.lanes {
		marks[l] = r.markAfter(p, doneBefore, "")
		w.last[p], w.late[p] = r.markAfter(p, doneAtLast, longest("map")), r.markAfter(p, doneInPlace, "")
	}
	r.commit(marks)

	held, release := context.WithCancel(tb.Context())
	defer release()
	for p, l := range r.lanes {
		w.watch(held, p, l)
	}
	reading, stop := context.WithCancel(held)
	defer stop()
	read := make(chan struct{})
	go func() {
		defer close(read)
		w.read(reading, held)
	}()

	var giveBack func()
	within(tb, "Revoke", func() { giveBack = f.Revoke() })
	w.await("that the lane's Revoked is closed", func() bool { return len(w.settled) > 0 })
	within(tb, "the function that Revoke returned", giveBack)
	w.await("the records that a lane which was taken away had not finished, in its next tenure", func() bool { return w.redelivered(parts) })
	stop()
	within(tb, "Read", func() { <-read })
	release() // not before: a Read would begin another tenure
	w.all.Wait()
	w.compare(parts)
	r.lanes = nil // released by the watchers
	r.close()

	// Another run finds what was committed in time.
	left, total := make(map[int]int), 0
	for p := range f.partitions() {
		left[p] = doneBefore
		for l := range w.settled {
			if w.r.partition(l) == p {
				left[p] = doneAtLast
			}
		}
		total += len(parts[p]) - left[p]
	}
	r = f.open(tb)
	r.readTo(total)
	for p := range f.partitions() {
		r.compare(p, parts[p][left[p]:])
	}
	r.close()
}

// watching is what a stage does about lanes that come and go.
type watching[T any] struct {
	tb   testing.TB
	r    *reading[T]
	news chan struct{}
	all  sync.WaitGroup

	last map[int]stage.Mark // what is committed when a partition goes
	late map[int]stage.Mark // what is committed after it has gone

	mu       sync.Mutex
	released map[stage.Lane]bool
	settled  map[stage.Lane]bool        // the late commit has been made, too
	later    map[stage.Lane]*reading[T] // what lanes of later tenures delivered
}

// watch gives a lane up when it is revoked, or when held ends.
func (w *watching[T]) watch(held context.Context, partition int, l stage.Lane) {
	w.all.Go(func() {
		select {
		case <-l.Revoked():
		case <-held.Done():
			l.Release()
			return
		}
		// Between the two, the stage commits what it has finished.
		commit(context.WithoutCancel(held), w.tb, w.r.reader, map[stage.Lane]stage.Mark{l: w.last[partition]})
		l.Release()
		w.mu.Lock()
		w.released[l] = true
		w.mu.Unlock()
		// Too late: it must be ignored.
		commit(context.WithoutCancel(held), w.tb, w.r.reader, map[stage.Lane]stage.Mark{l: w.late[partition]})
		w.mu.Lock()
		w.settled[l] = true
		w.mu.Unlock()
		w.wake()
	})
}

func (w *watching[T]) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// read reads on until ctx ends. Lanes are held until held does.
func (w *watching[T]) read(ctx, held context.Context) {
	for {
		w.mu.Lock()
		gone := make(map[stage.Lane]bool, len(w.released))
		for l := range w.released {
			gone[l] = true
		}
		w.mu.Unlock()
		b, err := w.r.reader.Read(ctx)
		if err != nil {
			if ctx.Err() == nil {
				w.tb.Errorf("Read failed while lanes come and go: %v", err)
			}
			return
		}
		if !w.take(held, b, gone) {
			return
		}
		w.wake()
	}
}

// take notes a batch, which a Read returned that began when the lanes in gone
// were released.
func (w *watching[T]) take(held context.Context, b stage.Batch, gone map[stage.Lane]bool) bool {
	if gone[b.Lane] {
		topic, p := b.Lane.ID()
		w.tb.Errorf("%d records came of the lane of %s/%d after its Release; the next tenure must be another Lane", len(b.Records), topic, p)
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.r.partition(b.Lane)
	if w.r.lanes[p] == b.Lane {
		w.tb.Errorf("records of partition %d came a second time in the same tenure, after it was revoked; the next tenure must be another Lane", p)
		return false
	}
	t := w.later[b.Lane]
	if t == nil {
		t = &reading[T]{tb: w.tb, f: w.r.f, lanes: make(map[int]stage.Lane), got: make(map[int][]stage.Raw)}
		w.later[b.Lane] = t
		w.watch(held, p, b.Lane)
	}
	t.take(b)
	return true
}

// redelivered reports whether each partition that went has come back whole.
func (w *watching[T]) redelivered(parts map[int][]stage.Record[T]) bool {
	for l := range w.settled {
		p := w.r.partition(l)
		enough := false
		for _, t := range w.later {
			enough = enough || len(t.got[p]) >= len(parts[p])-doneAtLast
		}
		if !enough {
			return false
		}
	}
	return true
}

// await waits for something to become true, and stops early at a failure.
func (w *watching[T]) await(what string, ok func() bool) {
	w.tb.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		w.mu.Lock()
		yes := ok()
		w.mu.Unlock()
		if yes {
			return
		}
		if w.tb.Failed() {
			w.tb.FailNow()
		}
		select {
		case <-w.news:
		case <-time.After(moment):
		case <-late.C:
			w.tb.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// compare holds later tenures to what the first one has left.
func (w *watching[T]) compare(parts map[int][]stage.Record[T]) {
	w.tb.Helper()
	for _, t := range w.later {
		for p, l := range t.lanes {
			t.compare(p, parts[p][doneAtLast:])
			if resumed, ok := l.(stage.ResumableLane); ok && resumed.Start() != w.last[p] {
				w.tb.Errorf("partition %d: the next tenure's Start returns %s, and committed was %s", p, show(resumed.Start()), show(w.last[p]))
			}
		}
	}
}
