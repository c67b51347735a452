// Package lane tracks what is done of one lane, one tenure of one partition.
package lane

// Tracker keeps the low-water mark of a lane: the offset below which every
// record that was delivered is done.
//
// It counts records in the order they were delivered and never assumes that
// offset n is followed by n+1: compacted topics and transactions leave gaps.
//
// The zero value is ready. It is not safe for concurrent use.
type Tracker struct {
	ring    []entry // a power of two long; record seq is at seq modulo len
	first   uint64  // the oldest record that is not in the done prefix
	next    uint64  // what Track gives out next
	mark    int64   // after the last record of the done prefix
	open    int     // records that are not done
	changes uint64
	reserve int // bytes of a done map that are somebody else's
}

type entry struct {
	offset int64
	done   bool
}

// Track notes the next delivered record and returns its number for Done.
func (t *Tracker) Track(offset int64) (seq uint64) {
	if int(t.next-t.first) == len(t.ring) {
		t.grow()
	}
	seq = t.next
	*t.at(seq) = entry{offset: offset}
	t.next++
	t.open++
	return seq
}

// Done notes that record seq is done. A second Done of the same record does
// nothing.
func (t *Tracker) Done(seq uint64) {
	if seq < t.first || seq >= t.next || t.at(seq).done {
		return
	}
	t.at(seq).done = true
	t.open--
	t.changes++
	for t.first < t.next && t.at(t.first).done {
		t.mark = t.at(t.first).offset + 1
		t.first++
	}
}

// Changes grows with every record that is done: what LowWater and DoneMap
// return is the same as long as it stands still.
func (t *Tracker) Changes() uint64 { return t.changes }

// LowWater returns the next offset to read after a restart, and false as long
// as no record is done.
func (t *Tracker) LowWater() (offset int64, ok bool) {
	switch {
	case t.changes == 0:
		return 0, false
	case t.first == 0: // done are only later ones
		return t.at(0).offset, true
	}
	return t.mark, true
}

// First returns the offset of the oldest record that is not done, 0 if there
// is none.
func (t *Tracker) First() int64 {
	if t.first == t.next {
		return 0
	}
	return t.at(t.first).offset
}

// Reserve keeps n of the bytes that a done map may have for something else in
// the same commit.
func (t *Tracker) Reserve(n int) { t.reserve = n }

// Pending returns how many records were delivered above the low-water mark,
// whether done or not.
func (t *Tracker) Pending() int { return int(t.next - t.first) }

func (t *Tracker) at(seq uint64) *entry { return &t.ring[seq&uint64(len(t.ring)-1)] }

func (t *Tracker) grow() {
	bigger := make([]entry, max(16, 2*len(t.ring)))
	for seq := t.first; seq < t.next; seq++ {
		bigger[seq&uint64(len(bigger)-1)] = *t.at(seq)
	}
	t.ring = bigger
}
