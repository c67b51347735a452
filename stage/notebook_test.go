package stage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/millrace-go/millrace/stage"
)

// notebook is a place that takes no part in transactions, and holds each
// record once by what its lanes note. Rows go to streams that take them only
// at their end, and none after they were closed.
type notebook struct {
	mu      sync.Mutex
	streams []*stream
	rows    []string
	opened  int
	// apply, if set, may fail the nth append, from 1, before it takes effect
	// or by losing the answer after it.
	apply func(nth int) (before, after error)
	tries int
	ended int // how often a lane was ended
}

type stream struct {
	n      int
	closed bool
}

// sink writes values as they are; an empty one is no row.
func (b *notebook) sink() stage.Sink[string] {
	return stage.Sink[string]{
		Targets: []stage.Target{{Open: func(context.Context, stage.Env) (stage.Writer, error) {
			b.opened++
			return notebookWriter{b}, nil
		}}},
		Encode: func(v string, in *stage.Raw, emit func(int, stage.Raw)) error {
			out := *in
			out.Value = []byte(v)
			emit(0, out)
			return nil
		},
	}
}

// append adds rows to a stream at a place, as often as it is asked once only.
func (b *notebook) append(id, at int, rows []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	var before, after error
	if b.apply != nil {
		before, after = b.apply(b.tries)
	}
	s := b.streams[id]
	switch {
	case before != nil:
		return before
	case s.closed:
		return errors.New("closed")
	case at < s.n:
		return after // it is there
	case at > s.n:
		return fmt.Errorf("at %d of a stream of %d", at, s.n)
	}
	s.n += len(rows)
	b.rows = append(b.rows, rows...)
	return after
}

// close ends a stream, and gives how many rows it has.
func (b *notebook) close(id int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[id].closed = true
	return b.streams[id].n
}

func (b *notebook) written() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.rows)
}

type notebookWriter struct{ b *notebook }

func (notebookWriter) Write([]stage.Raw, func(int, error)) { panic("not of a lane") }
func (notebookWriter) Close(context.Context) error         { return nil }

// OpenLane reads a note: a stream, the place where its last rows begin, the
// offsets of records that are written, and of those of the last rows.
func (w notebookWriter) OpenLane(l stage.Lane, note string, commit func()) stage.LaneWriter {
	p := &page{b: w.b, commit: commit, written: make(map[int64]bool)}
	if f := strings.Split(note, "|"); len(f) == 3 {
		place := numbers(f[0])
		last := numbers(f[2])
		if len(last) == 0 || w.b.close(int(place[0])) == int(place[1])+len(last) {
			f[1] += "," + f[2]
		}
		for _, at := range numbers(f[1]) {
			p.written[at] = true
		}
	}
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	p.stream = len(w.b.streams)
	w.b.streams = append(w.b.streams, &stream{})
	return p
}

func numbers(s string) (ns []int64) {
	for f := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' }) {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			panic(err)
		}
		ns = append(ns, n)
	}
	return ns
}

// page is a lane of a notebook.
type page struct {
	b      *notebook
	commit func()

	mu        sync.Mutex
	stream, n int
	written   map[int64]bool
	waiting   []entry
	last      []entry // noted, or to be
	over      bool
}

type entry struct {
	offset int64
	row    string
	done   func(error)
}

func (p *page) Write(recs []stage.Raw, done func(int, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range recs {
		switch {
		case p.over:
			done(i, errors.New("the lane is over"))
		case p.written[r.Offset]:
			done(i, nil)
		default:
			p.waiting = append(p.waiting, entry{r.Offset, string(r.Value), func(err error) { done(i, err) }})
		}
	}
	p.commit()
}

func (p *page) Note(done func(int64) bool) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.last) == 0 && !p.over {
		n := min(len(p.waiting), 50)
		p.last, p.waiting = p.waiting[:n:n], p.waiting[n:]
	}
	var written, last []string
	for at := range p.written {
		if done(at) {
			delete(p.written, at)
			continue
		}
		written = append(written, strconv.FormatInt(at, 10))
	}
	for _, e := range p.last {
		last = append(last, strconv.FormatInt(e.offset, 10))
	}
	slices.Sort(written)
	return fmt.Sprintf("%d,%d|%s|%s", p.stream, p.n, strings.Join(written, ","), strings.Join(last, ","))
}

func (p *page) Noted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || len(p.last) == 0 {
		return
	}
	var rows []string
	for _, e := range p.last {
		rows = append(rows, e.row)
	}
	if err := p.b.append(p.stream, p.n, rows); err != nil {
		p.commit() // tried again with the next one, which notes the same
		return
	}
	p.n += len(rows)
	for _, e := range p.last {
		p.written[e.offset] = true
		e.done(nil)
	}
	p.last = nil
	if len(p.waiting) > 0 {
		p.commit()
	}
}

func (p *page) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.over = true
	p.b.ended++
	for _, e := range append(p.waiting, p.last...) {
		e.done(errors.New("the lane is over"))
	}
	p.waiting = nil // what is noted stays so: it may have taken effect
}
