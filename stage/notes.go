package stage

import (
	"errors"
	"fmt"

	"github.com/millrace-go/millrace/internal/lane"
)

// laneNotes are what the engine keeps of a [LaneOpener], of which a stage has
// one at the most.
type laneNotes struct {
	opener LaneOpener    // nil: there is none
	writer int           // its place in the engine's writers
	soon   chan struct{} // a lane's note is to be committed
}

// findOpener looks for a LaneOpener among the writers.
func (e *engine) findOpener() error {
	for n, w := range e.writers {
		o, ok := w.(LaneOpener)
		switch {
		case !ok:
		case e.lanes.opener != nil:
			return errors.New("two sinks keep a note of each partition in its commits, and there is room for one: write one of them in a stage of its own, or at least once")
		default:
			e.lanes = laneNotes{opener: o, writer: n, soon: make(chan struct{}, 1)}
		}
	}
	return nil
}

// openLane begins to write a lane, if there is who writes it apart.
func (e *engine) openLane(t *tenure, note string) {
	if e.lanes.opener == nil {
		return
	}
	t.tracker.Reserve(MaxNote)
	t.out = e.lanes.opener.OpenLane(t.lane, note, func() {
		select {
		case e.lanes.soon <- struct{}{}:
		default: // it is asked for already
		}
	})
	t.noted = note
}

// refuseNotes stops the stage if a lane has no place for notes that are needed.
func (e *engine) refuseNotes() {
	if e.lanes.opener != nil {
		e.failNow(fmt.Errorf("stage %q: the sink keeps notes in what is committed, and the source's partitions keep none; take source.Kafka, or write at least once", e.name))
	}
}

// endWriting tells who writes a lane apart that it is over.
func (t *tenure) endWriting() {
	if t.out != nil {
		t.out.End()
	}
}

// sendByLane gives each lane's records to who writes that lane.
func (e *engine) sendByLane(p parcel) {
	for from := 0; from < len(p.recs); {
		t := p.owner[from].tenure
		to := from + 1
		for to < len(p.recs) && p.owner[to].tenure == t {
			to++
		}
		owner := p.owner[from:to]
		t.out.Write(p.recs[from:to:to], func(i int, err error) { e.acks.add(owner[i], err, 0) })
		from = to
	}
}

// addNotes completes a commit by the notes, and leaves out the lanes of which
// there is nothing new. A note is taken after the marks: what is written by
// now and not among them is in the note. The caller holds commits.
func (e *engine) addNotes(marks map[Lane]Mark, changes map[*tenure]uint64) {
	for t, n := range changes {
		if t.out == nil {
			continue
		}
		m := marks[t.lane]
		done, _ := lane.ParseDoneMap(m.Done, m.Offset) // as it was written
		m.Note = t.out.Note(func(offset int64) bool { return offset < m.Offset || done.Has(offset) })
		if marks[t.lane] = m; m.Note == t.noted && n == t.committed {
			delete(marks, t.lane)
			delete(changes, t)
		}
	}
}

// noted tells the lanes' writers that their notes are committed.
func noted(marks map[Lane]Mark, changes map[*tenure]uint64) {
	for t := range changes {
		if t.out != nil {
			t.noted = marks[t.lane].Note
			t.out.Noted()
		}
	}
}
