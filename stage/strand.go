package stage

import (
	"time"

	"github.com/millrace-go/millrace/internal/lane"
)

// tenure is what the engine keeps of a lane.
type tenure struct {
	lane      Lane
	resume    ResumableLane // nil: it is none
	done      lane.DoneSet  // what an earlier tenure has finished
	parked    []Raw         // delivered, and waiting until the done map has room for them
	tracker   lane.Tracker
	line      line                 // exactly once only
	strands   map[string]*strand   // ByKey and ByPartition; the others live in their task
	paused    map[*strand]struct{} // wait out a backoff
	inFlight  int
	revoked   bool   // nothing new may be begun
	lost      bool   // what comes of it no longer matters
	committed uint64 // the tracker's changes at the last commit
}

// strand is the unit of order: its records are transformed and written one
// after the other. By key it is a key of a lane, by partition a lane; a
// record whose order does not matter is a strand of its own.
//
// A record is in waiting until a worker takes it, in writing once its outputs
// are known, and gone when they are written. A strand is in at most one
// worker's hands at a time.
type strand struct {
	tenure  *tenure
	key     string
	waiting []*task
	writing []*task
	busy    bool // a worker has some of it, or it waits out a backoff
	unacked int  // sent tasks of writing that are not resolved yet
	mode    writeMode
	round   int // how often its outputs had to be written again
}

// writeMode is how a strand's outputs are sent.
type writeMode uint8

const (
	writeThrough writeMode = iota // as they come
	writeFailed                   // a write failed: hold new ones, wait for what was sent
	writeAgain                    // a worker is sending everything from the failed one on again
	writeNever                    // outputs were dropped: what is behind them must not be written in this tenure
)

// task is one record on its way through the stage.
type task struct {
	raw    Raw // a copy: a pointer would hold the whole batch in memory
	strand *strand
	seq    uint64 // in the lane's tracker
	own    strand // where there is no order to keep
	made   bool   // out is known (exactly once only, as is gone)
	gone   bool   // dropped: its lane was taken away

	attempts int       // of the transform that have failed
	failing  time.Time // since when
	batch    int       // it may be in a batch of so many at the most; 0: of any size

	out       []output
	dead      bool      // out is its dead letter
	writes    int       // attempts to write that have failed
	unwritten time.Time // since when
	pending   int       // outputs that are not acknowledged yet
	state     writeState
	writeErr  error
}

type writeState uint8

const (
	held writeState = iota // not sent
	sent
	acked
	failed
)

// output is one record to be written to a target.
type output struct {
	target int
	raw    Raw
}

// resolve settles one acknowledgement of t and reports whether it was the
// last one.
func (t *task) resolve(err error) bool {
	if err != nil && (t.writeErr == nil || IsPermanent(err)) {
		t.writeErr = err
	}
	if t.pending--; t.pending > 0 {
		return false
	}
	if t.writeErr != nil {
		t.state = failed
	} else {
		t.state = acked
	}
	return true
}

// popAcked takes the longest prefix of writing that is acknowledged.
func (s *strand) popAcked() (done []*task) {
	n := 0
	for n < len(s.writing) && s.writing[n].state == acked {
		n++
	}
	done = s.writing[:n:n]
	s.writing = s.writing[n:]
	return done
}

// putBack returns tasks to the front of the strand, in their order.
func (s *strand) putBack(tasks []*task) {
	if len(tasks) == 0 {
		return
	}
	s.waiting = append(append(make([]*task, 0, len(tasks)+len(s.waiting)), tasks...), s.waiting...)
}

// idle reports whether nothing refers to the strand any more.
func (s *strand) idle() bool {
	return !s.busy && len(s.waiting) == 0 && len(s.writing) == 0 && s.mode == writeThrough
}
