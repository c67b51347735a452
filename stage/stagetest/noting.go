package stagetest

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// noting writes one lane of a [stage.LaneOpener], and commits its notes when
// it is asked to, as a stage does.
type noting struct {
	stage.LaneWriter
	tb   testing.TB
	ask  chan struct{}
	over chan struct{} // closed at the end
	all  sync.WaitGroup

	mu   sync.Mutex
	done int64  // the records below it are done, as the commits say
	note string // committed last

	halted, end sync.Once
}

// newNoting opens a lane; nil if the writer has none.
func newNoting(tb testing.TB, w stage.Writer, note string) *noting {
	o, ok := w.(stage.LaneOpener)
	if !ok {
		return nil
	}
	n := &noting{tb: tb, ask: make(chan struct{}, 1), over: make(chan struct{}), note: note}
	within(tb, "OpenLane", func() {
		n.LaneWriter = o.OpenLane(&lane{revoked: make(chan struct{}), released: make(chan struct{})}, note, func() {
			select {
			case n.ask <- struct{}{}:
			default:
			}
		})
	})
	return n
}

// commits commits whenever it is asked to, and now and then, until the end.
func (n *noting) commits() {
	if n == nil {
		return
	}
	n.all.Go(func() {
		tick := time.NewTicker(moment / 2)
		defer tick.Stop()
		for {
			select {
			case <-n.ask:
				n.commit()
			case <-tick.C:
				n.commit()
			case <-n.over:
				return
			}
		}
	})
}

// commit commits the note.
func (n *noting) commit() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.note = n.look()
	n.Noted()
}

// look asks for the note, and commits nothing. The caller holds mu.
func (n *noting) look() string {
	note := n.Note(func(offset int64) bool { return offset < n.done })
	if len(note) > stage.MaxNote {
		n.tb.Errorf("a note of %d bytes: %s", len(note), show(note))
	}
	if strings.ContainsFunc(note, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		n.tb.Errorf("a note that is not printable ASCII: %q", note)
	}
	return note
}

// halt ends what commits began.
func (n *noting) halt() {
	n.halted.Do(func() { close(n.over) })
	n.all.Wait()
}

// finish ends the lane, and commits for the last time.
func (n *noting) finish() {
	n.end.Do(func() {
		n.halt()
		n.End()
		n.commit()
	})
}

// writerOf is who takes the records for writer n.
func (w *writing[T]) writerOf(n int) interface {
	Write(recs []stage.Raw, done func(i int, err error))
} {
	if w.lanes[n] != nil {
		return w.lanes[n]
	}
	return w.writers[n]
}

// endLanes ends all lanes.
func (w *writing[T]) endLanes() {
	for _, n := range w.lanes {
		if n != nil {
			n.finish()
		}
	}
}

// drainLanes waits until all that was written is answered: a stage ends a lane
// only then, unless it has no time left.
func (w *writing[T]) drainLanes() {
	w.tb.Helper()
	w.mu.Lock()
	answers := slices.Clone(w.answers)
	w.mu.Unlock()
	if slices.ContainsFunc(w.lanes, func(n *noting) bool { return n != nil }) {
		w.await(answers)
	}
}
