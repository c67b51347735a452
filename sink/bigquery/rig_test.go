package bigquery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	millrace "github.com/millrace-go/millrace/sink/bigquery"
	"github.com/millrace-go/millrace/stage"
)

var quiet = slog.New(slog.DiscardHandler)

// item is a row.
type item struct {
	ID string `bigquery:"id" json:"id"`
	N  int64  `bigquery:"n" json:"n,string"`
}

func itemAt(i int) item { return item{ID: fmt.Sprintf("item %d", i), N: int64(i)} }

// items reads the fake's rows.
func (f *fake) items(tb testing.TB) (all []item) {
	tb.Helper()
	for _, s := range f.written() {
		var it item
		if err := json.Unmarshal([]byte(s), &it); err != nil {
			tb.Fatal(err)
		}
		all = append(all, it)
	}
	return all
}

// once fails the test unless the fake has the items with these numbers, once
// each.
func (f *fake) once(tb testing.TB, want ...int) {
	tb.Helper()
	times := make(map[int]int)
	for _, it := range f.items(tb) {
		if it != itemAt(int(it.N)) {
			tb.Errorf("%+v was never written", it)
		}
		times[int(it.N)]++
	}
	for _, n := range want {
		if times[n] != 1 {
			tb.Errorf("row %d is there %d times", n, times[n])
		}
		delete(times, n)
	}
	for n, k := range times {
		tb.Errorf("row %d is there %d times, and should not be", n, k)
	}
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// owner has a lane, as a stage would.
type owner struct {
	stage.LaneWriter
	tb     testing.TB
	sink   stage.Sink[item]
	opener stage.LaneOpener
	ask    chan struct{}
	over   chan struct{}
	all    sync.WaitGroup

	mu   sync.Mutex
	note string // committed last
	low  int64  // below it all is committed as done
}

// own opens the lane with the note that was committed last.
func own(tb testing.TB, t millrace.Table, note string) *owner {
	tb.Helper()
	s := millrace.AppendOnce[item](t)
	w, err := s.Targets[0].Open(tb.Context(), stage.Env{Stage: "test", Logger: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	o := &owner{tb: tb, sink: s, opener: w.(stage.LaneOpener), note: note, ask: make(chan struct{}, 1), over: make(chan struct{})}
	o.LaneWriter = o.opener.OpenLane(lane{}, note, func() {
		select {
		case o.ask <- struct{}{}:
		default:
		}
	})
	tb.Cleanup(o.close)
	return o
}

type lane struct{ stage.ResumableLane }

func (lane) ID() (string, int32) { return "in", 3 }

// commits commits notes whenever it is asked to.
func (o *owner) commits() *owner {
	o.all.Go(func() {
		for {
			select {
			case <-o.ask:
				o.commit()
			case <-o.over:
				return
			}
		}
	})
	return o
}

func (o *owner) commit() {
	o.mu.Lock()
	defer o.mu.Unlock()
	note := o.Note(func(offset int64) bool { return offset < o.low })
	if len(note) > stage.MaxNote {
		o.tb.Errorf("a note of %d bytes", len(note))
	}
	o.note = note
	o.Noted()
}

// asked waits until the lane asks for a commit.
func (o *owner) asked() {
	o.tb.Helper()
	select {
	case <-o.ask:
	case <-time.After(time.Minute):
		o.tb.Fatal("no commit was asked for")
	}
}

func (o *owner) committed() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.note
}

// write writes the items with these numbers, each made from the record at the
// offset of its number.
func (o *owner) write(numbers ...int) *answers {
	o.tb.Helper()
	var raws []stage.Raw
	for _, n := range numbers {
		err := o.sink.Encode(itemAt(n), &stage.Raw{Topic: "in", Partition: 3, Offset: int64(n)}, func(_ int, r stage.Raw) { raws = append(raws, r) })
		if err != nil {
			o.tb.Fatal(err)
		}
	}
	a := &answers{tb: o.tb, errs: make([]error, len(raws)), left: len(raws), all: make(chan struct{})}
	o.Write(raws, a.done)
	return a
}

// close ends the lane, if it is not over.
func (o *owner) close() {
	select {
	case <-o.over:
		return
	default:
		close(o.over)
	}
	o.all.Wait()
	o.End()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.tb.Context()), time.Minute)
	defer cancel()
	if err := o.opener.Close(ctx); err != nil {
		o.tb.Error(err)
	}
}

// answers are what a writer says of rows.
type answers struct {
	tb   testing.TB
	mu   sync.Mutex
	errs []error
	left int
	all  chan struct{}
}

func (a *answers) done(i int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.errs[i] = err
	if a.left--; a.left == 0 {
		close(a.all)
	}
}

// wait waits for all answers.
func (a *answers) wait() []error {
	a.tb.Helper()
	select {
	case <-a.all:
	case <-time.After(time.Minute):
		a.tb.Fatal("rows were not answered")
	}
	return a.errs
}

// written waits for all answers, which must say that the rows are there.
func (a *answers) written() {
	a.tb.Helper()
	if err := errors.Join(a.wait()...); err != nil {
		a.tb.Fatal(err)
	}
}

// unanswered fails the test if a row is answered for.
func (a *answers) unanswered() {
	a.tb.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left != len(a.errs) {
		a.tb.Fatalf("%d of %d rows were answered: %v", len(a.errs)-a.left, len(a.errs), slices.DeleteFunc(slices.Clone(a.errs), func(err error) bool { return err == nil }))
	}
}
