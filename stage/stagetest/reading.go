package stagetest

import (
	"context"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// reading is a run over a source that is under test. It reads as a stage does
// and holds every batch to the contract. One goroutine uses it.
type reading[T any] struct {
	tb     testing.TB
	f      SourceFixture[T]
	reader stage.Reader
	lanes  map[int]stage.Lane // by partition
	got    map[int][]stage.Raw
	n      int // records in got
	kept   []kept
	closed bool
}

// kept is a record as a stage keeps it: a pointer into its batch. was is a
// copy from when it was delivered.
type kept struct {
	raw *stage.Raw
	was stage.Raw
}

func (f SourceFixture[T]) open(tb testing.TB) *reading[T] {
	tb.Helper()
	r := &reading[T]{tb: tb, f: f, lanes: make(map[int]stage.Lane), got: make(map[int][]stage.Raw)}
	within(tb, "Open", func() {
		reader, err := f.Source.Open(tb.Context(), env(nil, ""))
		if err != nil {
			tb.Errorf("Open: %v", err)
			return
		}
		r.reader = reader
	})
	if r.reader == nil {
		tb.FailNow()
	}
	tb.Cleanup(func() { // a check that failed leaves its run open
		if !r.closed {
			r.release()
			_ = r.reader.Close(context.WithoutCancel(tb.Context()))
		}
	})
	return r
}

// partition is where a lane's records were put.
func (r *reading[T]) partition(l stage.Lane) int {
	if r.f.partitions() == 1 {
		return 0
	}
	_, p := l.ID()
	if p < 0 || int(p) >= r.f.partitions() {
		r.tb.Fatalf("a lane's ID is partition %d, and there are %d: it must be the partition its records were put in", p, r.f.partitions())
	}
	return int(p)
}

// next reads a batch. io.EOF and the end of ctx are for the caller to judge.
func (r *reading[T]) next(ctx context.Context) (b stage.Batch, err error) {
	r.tb.Helper()
	within(r.tb, "Read", func() { b, err = r.reader.Read(ctx) })
	switch {
	case err == nil:
		r.take(b)
	case errors.Is(err, io.EOF) && r.f.Finite:
	case ctx.Err() == nil:
		r.tb.Fatalf("Read failed: %v; it may do so only for what ends the stage", err)
	case !errors.Is(err, ctx.Err()):
		r.tb.Fatalf("Read returned %v after its context ended; want the context's error, %v", err, ctx.Err())
	}
	if err != nil && (b.Lane != nil || len(b.Records) > 0) {
		r.tb.Fatalf("Read returned %d records beside the error %v: they would be lost", len(b.Records), err)
	}
	return b, err
}

// take notes a batch.
func (r *reading[T]) take(b stage.Batch) {
	r.tb.Helper()
	if b.Lane == nil || len(b.Records) == 0 {
		r.tb.Fatalf("Read returned a batch of lane %v with %d records; want a lane and at least one", b.Lane, len(b.Records))
	}
	if !reflect.TypeOf(b.Lane).Comparable() {
		r.tb.Fatalf("a %T can't be compared by ==; implement Lane by a pointer", b.Lane)
	}
	p := r.partition(b.Lane)
	topic, partition := b.Lane.ID()
	if l, ok := r.lanes[p]; ok && l != b.Lane {
		r.tb.Fatalf("partition %d came as another Lane, though it was never taken away: a tenure is one Lane", p)
	}
	r.lanes[p] = b.Lane
	for i := range b.Records {
		raw := &b.Records[i]
		if raw.Topic != topic || raw.Partition != partition {
			r.tb.Fatalf("a record of %s/%d came in the lane of %s/%d", raw.Topic, raw.Partition, topic, partition)
		}
		if n := len(r.got[p]); n > 0 && raw.Offset <= r.got[p][n-1].Offset {
			r.tb.Fatalf("offset %d came after %d in partition %d; they must rise", raw.Offset, r.got[p][n-1].Offset, p)
		}
		was := clone(*raw)
		r.kept = append(r.kept, kept{raw, was})
		r.got[p] = append(r.got[p], was)
		r.n++
	}
}

// readTo reads until n records have come.
func (r *reading[T]) readTo(n int) {
	r.tb.Helper()
	ctx, cancel := context.WithTimeout(r.tb.Context(), patience-moment)
	defer cancel()
	for r.n < n {
		switch _, err := r.next(ctx); {
		case errors.Is(err, io.EOF):
			r.tb.Fatalf("the source ended after %d of %d records", r.n, n)
		case err != nil:
			r.tb.Fatalf("%d of %d records were delivered within %v", r.n, n, patience)
		}
	}
}

// nothingMore looks whether anything comes that should not.
func (r *reading[T]) nothingMore() {
	r.tb.Helper()
	wait := moment
	if r.f.Finite {
		wait = patience - moment
	}
	ctx, cancel := context.WithTimeout(r.tb.Context(), wait)
	defer cancel()
	b, err := r.next(ctx)
	if err == nil {
		_, p := b.Lane.ID()
		r.tb.Fatalf("%d records came that should not, the first of partition %d at offset %d", len(b.Records), p, b.Records[0].Offset)
	}
	if r.f.Finite && !errors.Is(err, io.EOF) {
		r.tb.Fatalf("all records are delivered, and Read returned %v; want io.EOF", err)
	}
}

// compare holds what was delivered of a partition against what was put there.
func (r *reading[T]) compare(partition int, put []stage.Record[T]) {
	r.tb.Helper()
	got := r.got[partition]
	for i, raw := range got {
		if i == len(put) {
			break
		}
		if wrong := r.wrong(raw, put[i]); wrong != "" {
			r.tb.Fatalf("partition %d: record %d of %d is not what was put there: %s", partition, i, len(put), wrong)
		}
	}
	if len(got) != len(put) {
		r.tb.Fatalf("partition %d: %d records were delivered of %d", partition, len(got), len(put))
	}
	for _, k := range r.kept {
		if !sameRaw(*k.raw, k.was) {
			r.tb.Fatalf("the record of partition %d at offset %d has changed since it was delivered: the stage keeps pointers into a Batch, so that a reader must not use its memory again", k.was.Partition, k.was.Offset)
		}
	}
}

// wrong says how a record that was delivered is not the one that was put.
func (r *reading[T]) wrong(raw stage.Raw, put stage.Record[T]) string {
	given := clone(raw)
	v, err := r.f.Source.Decode(&given)
	if err != nil {
		return "Decode: " + err.Error()
	}
	if !sameRaw(given, raw) {
		return "Decode has changed the record, which a dead letter must show byte for byte"
	}
	if d := differ(stage.Record[T]{Value: v, Raw: raw}, put, r.f.Without); d != "" {
		return d
	}
	if r.f.Bytes == nil {
		return ""
	}
	if want := r.f.Bytes(put.Value); !sameBytes(raw.Value, want) {
		return "Raw.Value is " + show(raw.Value) + ", want " + show(want)
	}
	return ""
}

// markAfter is the mark when the first n records of a partition are done.
func (r *reading[T]) markAfter(partition, n int, done string) stage.Mark {
	m := stage.Mark{Offset: r.got[partition][n-1].Offset + 1}
	if _, ok := r.lanes[partition].(stage.ResumableLane); ok {
		m.Done = done
	}
	return m
}

func (r *reading[T]) commit(marks map[stage.Lane]stage.Mark) {
	r.tb.Helper()
	commit(r.tb.Context(), r.tb, r.reader, marks)
}

func commit(ctx context.Context, tb testing.TB, reader stage.Reader, marks map[stage.Lane]stage.Mark) {
	tb.Helper()
	within(tb, "Commit", func() {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := reader.Commit(ctx, marks); err != nil {
			tb.Errorf("Commit: %v", err)
		}
	})
}

// close ends the run as a stage does: it releases all lanes, then closes.
func (r *reading[T]) close() {
	r.tb.Helper()
	within(r.tb, "Release", r.release)
	within(r.tb, "a second Release", r.releaseAgain)
	r.closed = true
	within(r.tb, "Close", func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.tb.Context()), patience)
		defer cancel()
		if err := r.reader.Close(ctx); err != nil {
			r.tb.Errorf("Close: %v", err)
		}
	})
}

func (r *reading[T]) release() {
	for _, l := range r.lanes {
		l.Release()
	}
}

// releaseAgain does what a stage does to a lane whose records were still on
// their way when it was released.
func (r *reading[T]) releaseAgain() {
	defer func() {
		if v := recover(); v != nil {
			r.tb.Errorf("a second Release panics: %v; a stage may call it again", v)
		}
	}()
	r.release()
}

// byPartition sorts records, each partition's in their order.
func byPartition[T any](recs []stage.Record[T]) map[int][]stage.Record[T] {
	parts := make(map[int][]stage.Record[T])
	for _, r := range recs {
		parts[int(r.Partition)] = append(parts[int(r.Partition)], r)
	}
	return parts
}
