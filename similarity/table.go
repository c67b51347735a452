package similarity

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// table is a collection that changes while it is searched: a search takes the
// snapshot that is there, and no lock. Changes wait for each other.
//
// A replaced or deleted row stays where it is, marked with the version from
// which on it is gone; a segment of which more than half is gone is copied
// without it. The zero table is empty.
type table struct {
	current atomic.Pointer[snapshot] // nil is empty
	crew    crew                     // of searches

	mu    sync.Mutex // held by changes
	next  snapshot   // what is published at the end of a change
	rowOf map[string]location
	dead  []int       // rows gone, of each segment
	tails map[int]int // of each list, the segment that takes rows; there is one list, 0, but in an IVF
}

// location is a row's segment and its place there.
type location struct{ segment, row int }

func (t *table) snapshot() *snapshot {
	if s := t.current.Load(); s != nil {
		return s
	}
	return &snapshot{}
}

// encoder makes rows of items: what is scanned, its size, and its length.
type encoder interface {
	// shape is that of the rows for items of dim values.
	shape(dim int) shape
	// encode returns the row for an item's values: valid until the next call.
	encode(values []float32) row
}

// add puts checked items there.
func (t *table) add(e encoder, items []Item) {
	t.begin(e, items[0].Vector.Space, len(items[0].Vector.Values), len(items))
	t.insert(e, items)
	t.publish(e)
}

// insert is the part of a change that adds items.
func (t *table) insert(e encoder, items []Item) {
	s := &t.next
	for i, it := range items {
		t.remove(it.ID)
		r := e.encode(it.Vector.Values)
		v, at := t.place(e, r.list, len(items)-i)
		v.set(at.row, it.ID, r)
		v.rows++
		v.largest = max(v.largest, r.length)
		t.rowOf[it.ID] = at
		s.live++
	}
}

// begin begins a change that adds so many items. Only when the table is empty
// may they be of another space or dimension than what was there.
func (t *table) begin(e encoder, space string, dim, n int) {
	s := &t.next
	if s.live == 0 {
		*s = snapshot{space: space, dim: dim, version: s.version}
		sh := e.shape(dim)
		s.width = max(sh.values, sh.codes)
		t.rowOf, t.dead, t.tails = make(map[string]location, n), nil, make(map[int]int)
	}
	s.version++
}

// adopt adds the items of a file's frame whose values are panels: they stay
// where they are.
func (t *table) adopt(l layout, f *frame) error {
	if len(f.ids) == 0 {
		return errors.New("no items")
	}
	var views []view
	space, dim := t.next.space, t.next.dim
	if t.next.live == 0 {
		space, dim = f.space, f.dim
	}
	values := make([]float32, f.dim)
	for first := 0; first < len(f.ids); first += segmentRows {
		rows := min(segmentRows, len(f.ids)-first)
		s := newSegment(rows, shape{codes: l.shape(f.dim).codes})
		s.shape.values, s.fixed = f.dim, true
		s.panels = f.values[first*f.dim:][:s.room()*f.dim]
		v := view{segment: s, rows: rows}
		for i, id := range f.ids[first : first+rows] {
			s.gather(values, i)
			if err := (Item{id, vector.Vector{Space: f.space, Values: values}}).CheckIn(l.metric, space, dim); err != nil {
				return err
			}
			r := l.encode(values)
			s.setScanned(i, id, r)
			v.largest = max(v.largest, r.length)
		}
		views = append(views, v)
	}
	t.begin(l, space, dim, len(f.ids))
	for _, v := range views {
		at := len(t.next.views)
		t.next.views, t.dead = append(t.next.views, v), append(t.dead, 0)
		for row, id := range v.ids[:v.rows] {
			t.remove(id)
			t.rowOf[id] = location{at, row}
			t.next.live++
		}
	}
	t.publish(l)
	return nil
}

// delete takes items away.
func (t *table) delete(e encoder, ids []string) {
	t.next.version++
	for _, id := range ids {
		t.remove(id)
	}
	t.publish(e)
}

func (t *table) remove(id string) {
	at, there := t.rowOf[id]
	if !there {
		return
	}
	t.next.views[at.segment].died[at.row].Store(t.next.version)
	t.dead[at.segment]++
	t.next.live--
	delete(t.rowOf, id)
}

// place is where the next row of a list goes, of so many that are to come.
func (t *table) place(e encoder, list, coming int) (*view, location) {
	s := &t.next
	at, there := t.tails[list]
	if !there || !t.takes(at, list) {
		at = 0
		for at < len(s.views) && !t.takes(at, list) {
			at++
		}
		t.tails[list] = at
	}
	if at == len(s.views) {
		s.views = append(s.views, view{segment: &segment{}, list: list})
		t.dead = append(t.dead, 0)
	}
	v := &s.views[at]
	if v.rows == v.room() {
		larger := newSegment(t.room(v.rows, coming), e.shape(s.dim))
		for row := range v.rows {
			larger.move(row, v.segment, row)
			larger.died[row].Store(v.died[row].Load())
		}
		v.segment = larger
	}
	return v, location{at, v.rows}
}

// takes tells whether a segment takes rows of the list. All segments are
// bounded, so that a copy is soon made; an IVF's by less, as it has many.
func (t *table) takes(at, list int) bool {
	if at == len(t.next.views) {
		return false
	}
	v := &t.next.views[at]
	return v.list == list && !v.fixed && v.rows < t.most()
}

func (t *table) most() int {
	if t.next.coarse != nil {
		return listRows
	}
	return segmentRows
}

// room is for how many rows a segment that is full is made anew. Of an IVF, who
// knows how many of those to come are this list's?
func (t *table) room(rows, coming int) int {
	if t.next.coarse != nil {
		return min(listRows, rows+rows/4+1)
	}
	return min(segmentRows, max(2*rows, rows+coming))
}

// publish ends a change.
func (t *table) publish(e encoder) {
	s := &t.next
	for i := range s.views {
		if t.dead[i] >= simd.Block && 2*t.dead[i] >= s.views[i].rows {
			t.compact(e, i)
		}
	}
	published := *s
	published.views = append([]view(nil), s.views...)
	t.current.Store(&published)
}

// compact copies a segment without what is gone. Who searches still has the
// old one.
func (t *table) compact(e encoder, i int) {
	s := &t.next
	old := s.views[i]
	live := old.rows - t.dead[i]
	v := view{segment: newSegment(min(t.most(), live+live/2+1), e.shape(s.dim)), list: old.list, largest: old.largest}
	for row := range old.rows {
		if s.alive(&old, row) {
			v.move(v.rows, old.segment, row)
			t.rowOf[v.ids[v.rows]] = location{i, v.rows}
			v.rows++
		}
	}
	s.views[i], t.dead[i] = v, 0
}

// checkItems holds items against what is there, and against each other.
func (t *table) checkItems(m Metric, items []Item) error {
	space, dim := t.next.space, t.next.dim
	if t.next.live == 0 {
		space, dim = items[0].Vector.Space, len(items[0].Vector.Values)
	}
	for i, it := range items {
		if err := it.CheckIn(m, space, dim); err != nil {
			return stage.Permanent(fmt.Errorf("similarity: item %d: %w", i, err))
		}
	}
	return nil
}
