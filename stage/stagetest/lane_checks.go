package stagetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// asked waits until the lane asks for a commit.
func (n *noting) asked() {
	n.tb.Helper()
	select {
	case <-n.ask:
	case <-time.After(patience):
		n.tb.Fatalf("the lane has something to write, and has not asked for a commit within %v", patience)
	}
}

// testNotesFirst looks whether anything is written before it is noted.
func testNotesFirst[T any](tb testing.TB, f SinkFixture[T]) {
	w := f.openLanes(tb, "")
	n := w.lanes[0]
	recs := f.samples(5, 0)
	answers := w.write(recs...)
	n.asked()
	time.Sleep(moment)
	f.compare(tb, nil)
	n.mu.Lock()
	if n.look() == "" {
		tb.Errorf("the lane has asked for a commit, and its note is empty")
	}
	n.mu.Unlock()
	time.Sleep(moment) // the commit of that note has failed
	f.compare(tb, nil)
	n.commits()
	w.wrote(answers)
	f.compare(tb, recs)
	w.close()
}

// testCrash writes records that are noted, and written, and never committed as
// done. Who comes after that writes them again.
func testCrash[T any](tb testing.TB, f SinkFixture[T]) {
	recs := f.samples(40, 0)
	one := f.openLanes(tb, "")
	n := one.lanes[0]
	n.commits()
	one.wrote(one.write(recs[:10]...))
	n.mu.Lock()
	n.done = 6 // those with the offsets 1 to 5
	n.mu.Unlock()
	one.wrote(one.write(recs[10:20]...))
	f.compare(tb, recs[:20])
	n.mu.Lock()
	note := n.note // as a crash at this moment leaves it
	n.mu.Unlock()

	// The next one does what is not done. This one lives on, but nobody
	// commits for it any more.
	n.halt()
	late := one.write(recs[38:39]...)
	for round := range 3 { // who is stopped again before it has done anything
		two := f.openLanes(tb, note)
		if round < 2 {
			two.offset.Store(5)
			two.write(recs[5:30]...)
			time.Sleep(moment / 4)
			two.closed = true
			two.lanes[0].End()
			two.ended("Close", two.writers[0].Close)
			continue
		}
		two.lanes[0].commits()
		two.offset.Store(5)
		all := two.write(recs[5:15]...)
		all = append(all, two.write(recs[15:38]...)...)
		two.wrote(all)
		f.compare(tb, recs[:38])
		two.close()
	}
	select {
	case <-late[0].first:
		if late[0].err == nil {
			tb.Errorf("a record was acknowledged that no commit has noted")
		}
	case <-time.After(moment):
	}
	f.compare(tb, recs[:38])
	one.closed = true
	n.End()
	one.ended("Close", one.writers[0].Close)
	f.compare(tb, recs[:38])
}

// testEndLane ends a lane of which something waits for its note.
func testEndLane[T any](tb testing.TB, f SinkFixture[T]) {
	w := f.openLanes(tb, "")
	n := w.lanes[0]
	answers := w.write(f.samples(5, 0)...)
	n.asked()
	within(tb, "End", n.End)
	n.mu.Lock()
	n.look() // the last commit comes at once
	n.Noted()
	n.mu.Unlock()
	within(tb, "a second End", n.End)
	late := w.write(f.samples(5, 5)...)
	for i, err := range w.await(slices.Concat(answers, late)) {
		if err == nil || stage.IsPermanent(err) {
			tb.Fatalf("record %d of a lane that has ended was answered with %v; want an error that does not speak of the record", i, err)
		}
	}
	n.mu.Lock()
	n.look()
	n.Noted()
	n.mu.Unlock()
	w.closed = true
	within(tb, "Close", func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), patience)
		defer cancel()
		if err := w.writers[0].Close(ctx); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	f.compare(tb, nil)
}
