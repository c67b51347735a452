package stagetest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// put puts records and gives them by partition.
func (f SourceFixture[T]) put(n, from int) (recs []stage.Record[T], parts map[int][]stage.Record[T]) {
	f.Put(f.samples(n, from)...)
	recs = f.samples(n, from) // whatever Put did with its own
	return recs, byPartition(recs)
}

func testDelivers[T any](tb testing.TB, f SourceFixture[T]) {
	recs, parts := f.put(211, 0)
	r := f.open(tb)
	r.readTo(len(recs))
	r.nothingMore()
	for p := range f.partitions() {
		r.compare(p, parts[p])
		if l, ok := r.lanes[p].(stage.ResumableLane); ok && l.Start().Done != "" {
			tb.Errorf("nothing was ever committed, and Start returns %+v", l.Start())
		}
		select {
		case <-r.lanes[p].Revoked():
			tb.Errorf("partition %d was revoked, and nobody took it away", p)
		default:
		}
	}
	r.close()
}

func testDecode[T any](tb testing.TB, f SourceFixture[T]) {
	recs, parts := f.put(50, 0)
	r := f.open(tb)
	r.readTo(len(recs))
	var all sync.WaitGroup
	for range 8 { // as workers do, and again for a retry
		all.Go(func() {
			for p, got := range r.got {
				for i, raw := range got {
					if i >= len(parts[p]) {
						continue
					}
					if wrong := r.wrong(raw, parts[p][i]); wrong != "" {
						tb.Errorf("partition %d, record %d, decoded by several goroutines: %s", p, i, wrong)
						return
					}
				}
			}
		})
	}
	all.Wait()
	r.close()
}

// testUnread is a stage that is full: it does not read for a while.
func testUnread[T any](tb testing.TB, f SourceFixture[T]) {
	recs, parts := f.put(3000, 0)
	r := f.open(tb)
	r.readTo(1)
	time.Sleep(2 * moment)
	r.readTo(len(recs))
	for p := range f.partitions() {
		r.compare(p, parts[p])
		select {
		case <-r.lanes[p].Revoked():
			tb.Errorf("partition %d was revoked because the stage did not read for a while", p)
		default:
		}
	}
	r.close()
}

func testEnds[T any](tb testing.TB, f SourceFixture[T]) {
	recs, parts := f.put(5, 0)
	r := f.open(tb)
	// With an end of its context and records at once, a Read may tell either.
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	if _, err := r.next(ctx); errors.Is(err, io.EOF) {
		tb.Fatalf("the source ended before any of %d records was delivered", len(recs))
	}
	r.readTo(len(recs))
	r.nothingMore()
	for p := range f.partitions() {
		r.compare(p, parts[p])
	}
	r.close()
}

func testWaits[T any](tb testing.TB, f SourceFixture[T]) {
	r := f.open(tb)
	var all []stage.Record[T]
	for round := range 3 {
		ctx, cancel := context.WithTimeout(tb.Context(), moment)
		if round == 1 {
			time.AfterFunc(moment/2, cancel)
		}
		if _, err := r.next(ctx); err == nil {
			cancel()
			tb.Fatalf("Read returned records where none are left")
		}
		cancel()
		recs, _ := f.put(7, len(all))
		all = append(all, recs...)
		r.readTo(len(all))
	}
	parts := byPartition(all)
	for p := range f.partitions() {
		r.compare(p, parts[p])
	}
	r.close()
}

// testCommitBesideRead commits all lanes at once while a Read waits.
func testCommitBesideRead[T any](tb testing.TB, f SourceFixture[T]) {
	recs, _ := f.put(5*f.partitions(), 0)
	r := f.open(tb)
	r.readTo(len(recs))
	ctx, stop := context.WithCancel(tb.Context())
	defer stop()
	read := make(chan error, 1)
	go func() {
		_, err := r.reader.Read(ctx)
		read <- err
	}()
	var all sync.WaitGroup
	for p, l := range r.lanes {
		all.Go(func() {
			for n := 1; n <= 5; n++ {
				commit(tb.Context(), tb, r.reader, map[stage.Lane]stage.Mark{l: r.markAfter(p, n, "")})
			}
		})
	}
	all.Wait()
	stop()
	within(tb, "Read", func() {
		err := <-read
		if atEnd := f.Finite && errors.Is(err, io.EOF); !atEnd && !errors.Is(err, context.Canceled) {
			tb.Errorf("all records are delivered, and a Read beside commits returned %v", err)
		}
	})
	commit(tb.Context(), tb, r.reader, nil)
	r.close()
	if f.Forgets {
		return
	}
	r = f.open(tb)
	if f.Finite {
		r.nothingMore()
	} else {
		more, parts := f.put(f.partitions(), len(recs))
		r.readTo(len(more))
		for p := range f.partitions() {
			r.compare(p, parts[p])
		}
	}
	r.close()
}

func testSourceCheck[T any](tb testing.TB, f SourceFixture[T]) {
	recs, parts := f.put(10, 0)
	for range 2 {
		within(tb, "Check", func() {
			if err := f.Source.Check(tb.Context(), env(nil, "")); err != nil {
				tb.Errorf("Check of a source that works: %v", err)
			}
		})
	}
	r := f.open(tb)
	r.readTo(len(recs))
	for p := range f.partitions() {
		r.compare(p, parts[p])
	}
	r.close()
}

func testSourceLeaves[T any](tb testing.TB, f SourceFixture[T]) {
	n := 0
	leavesNoGoroutine(tb, func() {
		recs, _ := f.put(100, n)
		n += len(recs)
		r := f.open(tb)
		r.readTo(1)
		for p := range r.lanes {
			r.commit(map[stage.Lane]stage.Mark{r.lanes[p]: r.markAfter(p, 1, "")})
		}
		r.close()
	})
}

// longest is a Done of the most a stage may write.
func longest(first string) string { return first + strings.Repeat("-", 4000-len(first)) }

// testBeginsAtMark runs the source several times; each begins where the last
// commit stands.
func testBeginsAtMark[T any](tb testing.TB, f SourceFixture[T]) {
	const n = 14
	_, parts := f.put(n*f.partitions(), 0)
	at := make(map[int]stage.Mark)
	done := 0 // records of each partition
	check := func(r *reading[T]) {
		tb.Helper()
		r.readTo((n - done) * f.partitions())
		for p := range f.partitions() {
			r.compare(p, parts[p][done:])
			if l, ok := r.lanes[p].(stage.ResumableLane); ok && l.Start() != at[p] {
				tb.Fatalf("partition %d: Start returns %s, and committed was %s", p, show(l.Start()), show(at[p]))
			}
		}
	}
	commitAll := func(r *reading[T], k int, note string) {
		tb.Helper()
		marks := make(map[stage.Lane]stage.Mark)
		for p, l := range r.lanes {
			at[p] = r.markAfter(p, k, note)
			marks[l] = at[p]
		}
		r.commit(marks)
	}
	commitNote := func(r *reading[T], k int, done, note string) {
		tb.Helper()
		marks := make(map[stage.Lane]stage.Mark)
		for p, l := range r.lanes {
			m := r.markAfter(p, k, done)
			if _, ok := l.(stage.ResumableLane); ok {
				m.Note = note
			}
			at[p], marks[l] = m, m
		}
		r.commit(marks)
	}
	for i, step := range []int{0, 3, 0, 2} { // in a run of 0 nothing is committed
		r := f.open(tb)
		check(r)
		if step > 0 {
			commitAll(r, 1, "")
			commitAll(r, step, longest("old"))
			commitAll(r, step, longest("new")) // of the same offset another map
			if i == 3 {
				commitAll(r, step, "") // or none
			}
			done += step
		}
		r.close()
	}
	// Notes, the longest that there may be.
	note := strings.Repeat("a note, 0:~", 200)[:stage.MaxNote]
	for _, c := range []struct{ done, note string }{{"", note}, {longest("half")[:1900], note}, {"", "short"}, {"", ""}, {"d", "e"}} {
		r := f.open(tb)
		check(r)
		commitNote(r, 1, c.done, c.note)
		done++
		r.close()
	}
	r := f.open(tb)
	check(r)
	commitAll(r, n-done, "")
	r.close()

	r = f.open(tb)
	r.nothingMore()
	if !f.Finite {
		recs, parts := f.put(f.partitions(), n*f.partitions())
		r.readTo(len(recs))
		for p := range f.partitions() {
			r.compare(p, parts[p])
		}
	}
	r.close()
}
