package stagetest

import (
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// mark says what a transaction commits.
func (t *Transaction) mark(offset int64) map[stage.Lane]stage.Mark {
	return map[stage.Lane]stage.Mark{t.Lane: {Offset: offset}}
}

// committed holds what is committed against what should be; below 0: nothing.
func (t *Transaction) committed(tb testing.TB, want int64) {
	tb.Helper()
	got, ok := t.Mark()
	if !ok {
		got = -1
	}
	if got != want {
		tb.Fatalf("committed is %d, want %d (-1: nothing): marks are committed with what was written, or not at all", got, want)
	}
}

func testCommit[T any](tb testing.TB, f SinkFixture[T]) {
	w := f.open(tb)
	var there []stage.Record[T]
	before := int64(-1)
	for round := range int64(3) {
		recs := f.samples(20, len(there))
		w.begin()
		w.wrote(w.write(recs[:10]...))
		w.wrote(w.write(recs[10:]...))
		f.compare(tb, there) // nothing is seen before the commit
		f.Transaction.committed(tb, before)
		w.publish(f.Transaction.mark(round + 1))
		there = append(there, recs...)
		f.compare(tb, there)
		before = round + 1
		f.Transaction.committed(tb, before)
	}
	// Records that gave no results are done all the same.
	w.begin()
	w.publish(f.Transaction.mark(before + 1))
	f.Transaction.committed(tb, before+1)
	w.close()
	f.compare(tb, there)
}

func testAbort[T any](tb testing.TB, f SinkFixture[T]) {
	w := f.open(tb)
	recs := f.samples(40, 0)
	w.begin()
	w.wrote(w.write(recs[:10]...))
	w.abort()
	f.compare(tb, nil)
	f.Transaction.committed(tb, -1)

	w.begin()
	w.wrote(w.write(recs[10:20]...))
	w.publish(f.Transaction.mark(1))
	f.compare(tb, recs[10:20])

	w.begin()
	w.abort() // an empty one
	w.begin()
	w.wrote(w.write(recs[20:30]...))
	w.abort()
	f.compare(tb, recs[10:20])
	f.Transaction.committed(tb, 1)

	// What was undone is written again, as a stage does.
	w.begin()
	w.wrote(w.write(recs[20:]...))
	w.publish(f.Transaction.mark(2))
	w.close()
	f.compare(tb, recs[10:])
	f.Transaction.committed(tb, 2)
}

func testAbortUnanswered[T any](tb testing.TB, f SinkFixture[T]) {
	w := f.open(tb)
	recs := f.samples(320, 0)
	w.begin()
	late := w.write(recs[:300]...)
	w.abort()
	w.begin()
	w.wrote(w.write(recs[300:]...))
	w.publish(f.Transaction.mark(1))
	w.await(late) // whatever it says
	w.close()
	f.compare(tb, recs[300:])
	f.Transaction.committed(tb, 1)
}
