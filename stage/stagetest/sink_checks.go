package stagetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

func testEncode[T any](tb testing.TB, f SinkFixture[T]) {
	recs := f.samples(60, 0)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i, rec := range recs {
				out := f.encode(tb, rec, i)
				if len(out) == 0 {
					tb.Errorf("Encode emitted nothing for %s", show(rec.Value))
				}
				for _, e := range out {
					if d := differAround(e.raw, rec.Raw, f.Without); d != "" {
						tb.Errorf("what Encode emitted for a record does not have what surrounds it: %s", d)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if got := len(f.Written()); got != 0 {
		tb.Errorf("Encode alone has written %d records", got)
	}
}

// testWrites writes calls of several sizes, without waiting between them.
func testWrites[T any](tb testing.TB, f SinkFixture[T]) {
	w := f.open(tb)
	w.begin()
	var recs []stage.Record[T]
	var answers []*answer
	for _, n := range []int{1, 2, 60, 1, 200, 7} {
		more := f.samples(n, len(recs))
		recs = append(recs, more...)
		answers = append(answers, w.write(more...)...)
	}
	w.wrote(answers)
	w.publish(nil)
	w.close()
	f.compare(tb, recs)
	time.Sleep(moment) // a second done would come late
}

// testAcknowledges looks, as soon as the answers are there, whether the
// records are.
func testAcknowledges[T any](tb testing.TB, f SinkFixture[T]) {
	w := f.open(tb)
	var recs []stage.Record[T]
	for range 5 {
		more := f.samples(20, len(recs))
		recs = append(recs, more...)
		w.begin()
		w.wrote(w.write(more...))
		w.publish(nil)
		f.compare(tb, recs)
	}
	w.close()
	f.compare(tb, recs)
}

// testConcurrentWrites writes from several goroutines, each with a key of its
// own, whose records must stay in order.
func testConcurrentWrites[T any](tb testing.TB, f SinkFixture[T]) {
	const writers, each = 8, 40
	w := f.open(tb)
	w.begin()
	var all sync.WaitGroup
	var recs []stage.Record[T]
	for g := range writers {
		mine := f.samples(each, g*each)
		for i := range mine {
			if f.Without&Keys == 0 {
				mine[i].Key = []byte{'w', byte('0' + g)}
			}
		}
		recs = append(recs, mine...)
		all.Go(func() {
			var answers []*answer
			for i := 0; i < each; i += 5 {
				answers = append(answers, w.write(mine[i:i+5]...)...)
			}
			w.wrote(answers)
		})
	}
	all.Wait()
	w.publish(nil)
	w.close()
	if f.Without&Keys == 0 || f.Unordered {
		f.compare(tb, recs)
		return
	}
	got := f.Written()
	for g := range writers {
		rest := got
		for i, r := range recs[g*each : (g+1)*each] {
			at := slices.IndexFunc(rest, func(o stage.Record[T]) bool { return differ(o, r, f.Without) == "" })
			if at < 0 {
				tb.Fatalf("record %d of %d that one of several goroutines wrote is not there, or not behind the one that it wrote before", i, each)
			}
			rest = rest[at+1:]
		}
	}
	f.Unordered = true // between the goroutines
	f.compare(tb, recs)
}

// testSinkClose closes right behind a write. A transaction is closed without
// a commit: what is in it must not be seen.
func testSinkClose[T any](tb testing.TB, f SinkFixture[T]) {
	w := f.open(tb)
	w.begin()
	recs := f.samples(300, 0)
	w.write(recs...)
	w.close()
	if w.txn == nil {
		for i, a := range w.answers {
			if a.err != nil {
				tb.Fatalf("record %d of %d was not written: %v", i, len(w.answers), a.err)
			}
		}
		f.compare(tb, recs)
	} else {
		f.compare(tb, nil)
	}

	// A Close whose time is over returns, whatever is not answered yet.
	w = f.open(tb)
	w.begin()
	w.write(f.samples(10, 300)...)
	w.closed = true
	w.endLanes()
	for _, o := range w.writers {
		within(tb, "Close, whose context has ended,", func() {
			ctx, cancel := context.WithCancel(tb.Context())
			cancel()
			_ = o.Close(ctx) // either is right
		})
	}
}

func testSinkLeaves[T any](tb testing.TB, f SinkFixture[T]) {
	leavesNoGoroutine(tb, func() {
		w := f.open(tb)
		w.begin()
		w.wrote(w.write(f.samples(20, 0)...))
		w.publish(nil)
		w.close()
	})
}

func testTooLarge[T any](tb testing.TB, f SinkFixture[T]) {
	w := f.open(tb)
	recs := f.samples(6, 0)
	if f.Without&Keys == 0 {
		for i := range recs {
			recs[i].Key = []byte("one") // neighbours in every way
		}
	}
	bad := recs[0]
	bad.Value = f.TooLarge()
	var there []stage.Record[T]
	for round := range 2 {
		good := recs[3*round : 3*round+3]
		w.begin()
		errs := w.await(w.write(good[0], bad, good[1], good[2]))
		per := len(errs) / 4 // answers a record
		if per == 0 {
			tb.Fatalf("Encode emitted %d records for 4 values", len(errs))
		}
		permanent := false
		for i, err := range errs {
			switch {
			case err == nil:
			case !stage.IsPermanent(err) && w.txn != nil: // the transaction is over
			case !stage.IsPermanent(err):
				tb.Fatalf("beside a record that can never be written, one failed with an error that is not marked by stage.Permanent, so that the stage writes it again: %v", err)
			case permanent && len(w.writers) == 1 && per == 1:
				tb.Fatalf("more than the one record that is too large was refused for good: %v (answer %d)", err, i)
			default:
				permanent = true
			}
		}
		if !permanent {
			tb.Fatalf("the record that is too large was taken: want an error marked by stage.Permanent")
		}
		if w.txn != nil { // so does a stage
			w.abort()
			w.begin()
			w.wrote(w.write(good...))
		}
		w.publish(nil)
		there = append(there, good...)
		f.compare(tb, there)
	}
	w.close()
}

func testSinkCheck[T any](tb testing.TB, f SinkFixture[T]) {
	id := ""
	if f.Transaction != nil {
		id = f.Transaction.ID
	}
	for i, t := range f.Sink.Targets {
		if t.Check == nil {
			continue
		}
		within(tb, "Check", func() {
			if err := t.Check(tb.Context(), env(nil, id)); err != nil {
				tb.Errorf("Check of target %d, which works: %v", i, err)
			}
		})
	}
	f.compare(tb, nil)
}
