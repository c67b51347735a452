package lane

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// model is what a lane's tracker and done map promise, over tenures, kept the
// slow and obvious way: which offsets of a topic are done.
type model struct {
	topic  []int64 // the offsets there are
	next   int     // of topic: what is delivered next
	mark   int64   // committed
	done   map[int64]bool
	saved  map[int64]bool // what was done when the mark was committed
	read   []int64        // delivered in this tenure
	waits  []int64        // of those, neither done nor skipped
	moved  bool           // something is done in this tenure
	number map[int64]uint64
}

// tenure is the real thing: a tracker, and what it was told to skip.
type tenure struct {
	tracker Tracker
	skip    DoneSet
}

// begin begins a tenure at the mark, with the map that was committed.
func (m *model) begin(t *testing.T, committed string) *tenure {
	t.Helper()
	skip, err := ParseDoneMap(committed, m.mark)
	if err != nil {
		t.Fatalf("the map %q, committed at %d, can't be read: %v", committed, m.mark, err)
	}
	m.next, _ = slices.BinarySearch(m.topic, m.mark)
	m.done = maps.Clone(m.saved)
	m.read, m.waits, m.moved = nil, nil, false
	m.number = make(map[int64]uint64)
	return &tenure{skip: skip}
}

// deliver delivers the next record, if it fits, as a stage does.
func (m *model) deliver(t *testing.T, now *tenure) {
	t.Helper()
	if m.next == len(m.topic) {
		return
	}
	o := m.topic[m.next]
	if !now.tracker.Fits(o) {
		return
	}
	m.next++
	m.read = append(m.read, o)
	m.number[o] = now.tracker.Track(o)
	if got := now.skip.Take(o); got != m.done[o] {
		t.Fatalf("offset %d: skipped %v, done in the last commit %v", o, got, m.done[o])
	}
	if m.done[o] {
		now.tracker.Done(m.number[o])
		m.moved = true
		return
	}
	m.waits = append(m.waits, o)
}

// finish makes the nth of what waits done.
func (m *model) finish(now *tenure, n int) {
	if len(m.waits) == 0 {
		return
	}
	n %= len(m.waits)
	o := m.waits[n]
	m.waits = slices.Delete(m.waits, n, n+1)
	m.done[o], m.moved = true, true
	now.tracker.Done(m.number[o])
	now.tracker.Done(m.number[o]) // a second time is nothing
}

// check compares what both say.
func (m *model) check(t *testing.T, now *tenure) {
	t.Helper()
	mark, ok := now.tracker.LowWater()
	if ok != m.moved {
		t.Fatalf("LowWater says %v, and something is done: %v", ok, m.moved)
	}
	want, pending := m.lowWater()
	if ok && mark != want {
		t.Fatalf("low-water mark %d, want %d", mark, want)
	}
	if got := now.tracker.Pending(); got != pending {
		t.Fatalf("%d pending, want %d", got, pending)
	}
	if now.tracker.open != len(m.waits) {
		t.Fatalf("%d are not done, want %d", now.tracker.open, len(m.waits))
	}
	first := int64(0)
	if len(m.waits) > 0 {
		first = slices.Min(m.waits)
	}
	if got := now.tracker.First(); got != first {
		t.Fatalf("the oldest that is not done is %d, want %d", got, first)
	}
}

// lowWater gives the mark, and how many records were read from there on.
func (m *model) lowWater() (mark int64, pending int) {
	for i, o := range m.read {
		if !m.done[o] {
			if i == 0 {
				mark = o
			}
			return mark, len(m.read) - i
		}
		mark = o + 1
	}
	return mark, 0
}

// commit commits as a stage does, and gives the map.
func (m *model) commit(t *testing.T, now *tenure) (string, bool) {
	t.Helper()
	mark, ok := now.tracker.LowWater()
	if !ok {
		return "", false
	}
	s := now.tracker.DoneMap(now.skip)
	if len(s) > maxDoneMap {
		t.Fatalf("a done map of %d bytes", len(s))
	}
	m.mark, m.saved = mark, make(map[int64]bool)
	for o := range m.done { // also what an earlier tenure did, and this one did not come to
		if o >= mark {
			m.saved[o] = true
		}
	}
	if s == "" && len(m.saved) > 0 {
		t.Fatalf("%d records are done above the mark %d, and there is no map of them", len(m.saved), mark)
	}
	return s, true
}

// live runs one operation a byte.
func live(t *testing.T, ops []byte) {
	m := &model{done: make(map[int64]bool), saved: make(map[int64]bool)}
	offset := int64(0)
	for _, op := range ops[:min(700, len(ops))] { // few enough that all always fits; gaps, as transactions and compaction leave them
		offset += 1 + int64(op%16)*int64(op%16)*int64(op%2)
		m.topic = append(m.topic, offset)
	}
	committed := ""
	now := m.begin(t, committed)
	for i, op := range ops {
		switch {
		case op < 100:
			for range 1 + op%8 {
				m.deliver(t, now)
			}
		case op < 215:
			m.finish(now, int(op)*7919+i)
		case op < 230: // the oldest, so that the mark moves
			m.finish(now, 0)
		case op < 248:
			if s, ok := m.commit(t, now); ok {
				committed = s
			}
		default: // killed: what was not committed is not done
			now = m.begin(t, committed)
		}
		m.check(t, now)
	}
}

func TestTenuresAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		ops := make([]byte, 1+rng.IntN(1000))
		for i := range ops {
			ops[i] = byte(rng.Uint32())
		}
		live(t, ops)
	}
}

// FuzzTenures runs Track, Done, LowWater, Fits, DoneMap, ParseDoneMap and Take
// against the model, through commits and kills.
func FuzzTenures(f *testing.F) {
	f.Add([]byte{7, 7, 7, 150, 151, 152, 240, 255, 7, 7, 160, 220, 240, 250, 7})
	f.Add([]byte("deliver\xf0finish\xf0commit\xffdie\xe0and read again"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 3000 {
			return
		}
		live(t, ops)
	})
}
