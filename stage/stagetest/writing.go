package stagetest

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// writing is the writers of a sink that is under test, used as a stage does.
// Its write may be called from several goroutines.
type writing[T any] struct {
	tb      testing.TB
	f       SinkFixture[T]
	writers []stage.Writer
	lanes   []*noting    // by writer: nil, if it is no LaneOpener
	of      []int        // by target, its place in writers
	offset  atomic.Int64 // of the next record that a value was made from
	txn     stage.TxnWriter
	begun   bool
	closed  bool

	mu      sync.Mutex
	answers []*answer
}

// answer is what a writer said of one record.
type answer struct {
	raw, was stage.Raw
	done     int
	err      error
	first    chan struct{} // closed by the first answer
}

func (f SinkFixture[T]) open(tb testing.TB) *writing[T] {
	tb.Helper()
	w := f.openLanes(tb, "")
	for _, n := range w.lanes {
		n.commits()
	}
	return w
}

// openLanes is open, with notes that are committed only by the test.
func (f SinkFixture[T]) openLanes(tb testing.TB, note string) *writing[T] {
	tb.Helper()
	w := &writing[T]{tb: tb, f: f}
	id := ""
	if f.Transaction != nil {
		id = f.Transaction.ID
	}
	tb.Cleanup(func() { // a check that failed leaves its writers open
		if !w.closed {
			w.endLanes()
			for _, o := range w.writers {
				_ = o.Close(context.WithoutCancel(tb.Context()))
			}
		}
	})
	within(tb, "Open", func() {
		for i, t := range f.Sink.Targets {
			same := func(o stage.Target) bool { return o.Share != nil && o.Share == t.Share }
			if first := slices.IndexFunc(f.Sink.Targets, same); first >= 0 && first < i {
				w.of = append(w.of, w.of[first])
				continue
			}
			var topics []string
			for j, o := range f.Sink.Targets {
				if o.Topic != "" && (i == j || same(o)) {
					topics = append(topics, o.Topic)
				}
			}
			o, err := t.Open(tb.Context(), env(topics, id))
			if err != nil {
				tb.Errorf("Open of target %d: %v", i, err)
				return
			}
			w.of = append(w.of, len(w.writers))
			w.writers = append(w.writers, o)
			w.lanes = append(w.lanes, newNoting(tb, o, note))
		}
	})
	if len(w.of) < len(f.Sink.Targets) {
		tb.FailNow()
	}
	if f.Transaction != nil {
		txn, ok := w.writers[0].(stage.TxnWriter)
		if !ok || len(w.writers) > 1 {
			tb.Fatalf("a transaction needs one TxnWriter for all targets, and there are %d writers, the first a %T", len(w.writers), w.writers[0])
		}
		w.txn = txn
	}
	return w
}

// emitted is a record for a target.
type emitted struct {
	target int
	raw    stage.Raw
}

// encode does what a stage does with a result.
func (f SinkFixture[T]) encode(tb testing.TB, rec stage.Record[T], offset int) (out []emitted) {
	tb.Helper()
	in := rec.Raw
	in.Value, in.Topic, in.Partition, in.Offset = []byte("what it was made from"), "stagetest-input", 0, int64(offset)
	was := clone(in)
	err := f.Sink.Encode(rec.Value, &in, func(target int, raw stage.Raw) {
		if target < 0 || target >= len(f.Sink.Targets) {
			tb.Errorf("Encode emitted to target %d of %d", target, len(f.Sink.Targets))
			return
		}
		out = append(out, emitted{target, raw})
	})
	if err != nil {
		tb.Errorf("Encode of %s: %v", show(rec.Value), err)
	}
	if !sameRaw(in, was) {
		tb.Errorf("Encode has changed the record that the value was made from, which a dead letter must show byte for byte")
	}
	return out
}

// begin begins a transaction if none is open and there have to be any.
func (w *writing[T]) begin() {
	w.tb.Helper()
	if w.txn == nil || w.begun {
		return
	}
	w.begun = true
	w.ended("Begin", w.txn.Begin)
}

// ended runs one of a transaction's calls.
func (w *writing[T]) ended(name string, call func(context.Context) error) {
	w.tb.Helper()
	within(w.tb, name, func() {
		ctx, cancel := context.WithTimeout(w.tb.Context(), patience)
		defer cancel()
		if err := call(ctx); err != nil {
			w.tb.Errorf("%s: %v", name, err)
		}
	})
}

// write encodes the records and writes them, each writer's in one call. It
// returns the answers to come. A transaction must have begun.
func (w *writing[T]) write(recs ...stage.Record[T]) []*answer {
	w.tb.Helper()
	perWriter := make([][]stage.Raw, len(w.writers))
	for _, rec := range recs {
		for _, e := range w.f.encode(w.tb, rec, int(w.offset.Add(1))) {
			n := w.of[e.target]
			perWriter[n] = append(perWriter[n], e.raw)
		}
	}
	var all []*answer
	for n, raws := range perWriter {
		if len(raws) == 0 {
			continue
		}
		answers := make([]*answer, len(raws))
		for i, raw := range raws {
			answers[i] = &answer{raw: raw, was: clone(raw), first: make(chan struct{})}
		}
		w.mu.Lock()
		w.answers = append(w.answers, answers...)
		w.mu.Unlock()
		all = append(all, answers...)
		within(w.tb, "Write", func() {
			w.writerOf(n).Write(raws, func(i int, err error) { w.note(answers, i, err) })
		})
	}
	return all
}

func (w *writing[T]) note(answers []*answer, i int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i < 0 || i >= len(answers) {
		w.tb.Errorf("done was called for record %d of %d", i, len(answers))
		return
	}
	a := answers[i]
	if a.done++; a.done > 1 {
		w.tb.Errorf("done was called %d times for one record; want exactly once", a.done)
		return
	}
	a.err = err
	if !sameRaw(a.raw, a.was) {
		w.tb.Errorf("the writer has changed a record, which the stage may have to write again")
	}
	close(a.first)
}

// await waits for answers, and returns their errors.
func (w *writing[T]) await(answers []*answer) []error {
	w.tb.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	errs := make([]error, len(answers))
	for i, a := range answers {
		select {
		case <-a.first:
			errs[i] = a.err
		case <-late.C:
			w.tb.Fatalf("done was not called for record %d of %d within %v", i, len(answers), patience)
		}
	}
	return errs
}

// wrote waits for answers, none of which may be an error.
func (w *writing[T]) wrote(answers []*answer) {
	w.tb.Helper()
	for i, err := range w.await(answers) {
		if err != nil {
			w.tb.Fatalf("record %d of %d was not written: %v", i, len(answers), err)
		}
	}
}

// publish makes what was written visible.
func (w *writing[T]) publish(marks map[stage.Lane]stage.Mark) {
	w.tb.Helper()
	if w.txn == nil {
		return
	}
	w.begun = false
	w.ended("Commit", func(ctx context.Context) error { return w.txn.Commit(ctx, marks) })
}

func (w *writing[T]) abort() {
	w.tb.Helper()
	w.begun = false
	w.ended("Abort", w.txn.Abort)
}

// close closes the writers, after which all must have been answered.
func (w *writing[T]) close() {
	w.tb.Helper()
	w.closed = true
	w.drainLanes()
	w.endLanes()
	for _, o := range w.writers {
		w.ended("Close", o.Close)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.answers {
		if a.done == 0 {
			w.tb.Fatalf("Close has returned before done was called for %s: nobody knows whether it is written", show(a.raw.Value))
		}
	}
}

// compare holds what is written against what should be. Records of one key
// must be in their order; all records, where the sink has no place for keys.
func (f SinkFixture[T]) compare(tb testing.TB, want []stage.Record[T]) {
	tb.Helper()
	got := f.Written()
	if len(got) != len(want) {
		tb.Errorf("%d records are there, and %d were written", len(got), len(want))
	}
	wantKeys, gotKeys := f.byKey(want), f.byKey(got)
	for _, k := range slices.Sorted(maps.Keys(wantKeys)) {
		f.compareKey(tb, k, gotKeys[k], wantKeys[k])
	}
	for _, k := range slices.Sorted(maps.Keys(gotKeys)) {
		if len(wantKeys[k]) == 0 {
			tb.Errorf("%d records of the key %s are there, and none were written", len(gotKeys[k]), k)
		}
	}
	if tb.Failed() {
		tb.FailNow()
	}
}

func (f SinkFixture[T]) byKey(recs []stage.Record[T]) map[string][]stage.Record[T] {
	keys := make(map[string][]stage.Record[T])
	for _, r := range recs {
		k := show(r.Key)
		if f.Without&Keys != 0 {
			k = "none"
		}
		keys[k] = append(keys[k], r)
	}
	return keys
}

// compareKey compares the records of one key.
func (f SinkFixture[T]) compareKey(tb testing.TB, key string, got, want []stage.Record[T]) {
	tb.Helper()
	if f.Unordered || key == show([]byte(nil)) { // records without a key have no order
		for _, r := range want {
			at := slices.IndexFunc(got, func(g stage.Record[T]) bool { return differ(g, r, f.Without) == "" })
			if at < 0 {
				tb.Errorf("%s, of key %s, was written and is not there, or not as it was", show(r.Value), key)
				return
			}
			got = slices.Delete(slices.Clone(got), at, at+1)
		}
		return
	}
	for i := range min(len(got), len(want)) {
		if d := differ(got[i], want[i], f.Without); d != "" {
			elsewhere := !reflect.DeepEqual(got[i].Value, want[i].Value)
			if elsewhere && slices.ContainsFunc(want, func(r stage.Record[T]) bool { return reflect.DeepEqual(r.Value, got[i].Value) }) {
				d += "; it was written at another place"
			}
			tb.Errorf("of key %s, record %d is not what was written: %s", key, i, d)
			return
		}
	}
	if len(got) != len(want) {
		tb.Errorf("of key %s, %d records are there of %d", key, len(got), len(want))
	}
}
