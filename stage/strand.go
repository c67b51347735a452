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
	strands   keyed                // ByKey and ByPartition
	paused    map[*strand]struct{} // wait out the backoff of a transform
	unwritten map[*strand]struct{} // wait for their outputs to be written again
	inFlight  int
	revoked   bool   // nothing new may be begun
	lost      bool   // what comes of it no longer matters
	committed uint64 // the tracker's changes at the last commit

	out   LaneWriter // nil: the stage has no LaneOpener
	noted string     // its note in the last commit; under the engine's commits
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
	id      uint64  // in the tenure's strands: its key's hash, or 0 for all
	shared  bool    // it is there, for later records
	chained *strand // the next one there
	waiting queue
	writing queue
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
	writeAgain                    // all from the failed one on waits to be sent again, or a worker sends it
	writeNever                    // outputs were dropped: what is behind them must not be written in this tenure
)

// task is one record on its way through the stage.
type task struct {
	raw    *Raw // in the batch that it was read with, or a copy once it has failed
	size   int  // of raw, as it counts for MaxInFlightBytes
	tenure *tenure
	strand *strand // until it leaves
	next   *task   // in the queue that it is in
	seq    uint64  // in the lane's tracker
	out    []Raw
	trial  *trial // nil: nothing has failed so far

	pending int32 // outputs that are not acknowledged yet
	state   writeState
	dead    bool // out is its dead letter
	made    bool // out is known (exactly once only, as is gone)
	gone    bool // dropped: its lane was taken away
}

// trial is what is known of a record that has failed.
type trial struct {
	attempts int       // of the transform that have failed
	failing  time.Time // since when
	batch    int       // it may be in a batch of so many at the most; 0: of any size

	writes    int       // attempts to write that have failed
	unwritten time.Time // since when
	writeErr  error     // of the last one
}

// tried is what is known of the failures of k, to be added to.
func (k *task) tried() *trial {
	if k.trial == nil {
		k.trial = &trial{}
	}
	return k.trial
}

// writeErr is why the last write of k failed, if it did.
func (k *task) writeErr() error {
	if k.trial == nil {
		return nil
	}
	return k.trial.writeErr
}

// writeAnew forgets why the last write of k failed: another one begins.
func (k *task) writeAnew() {
	if k.trial != nil {
		k.trial.writeErr = nil
	}
}

// blame notes why a write of k failed. What is so for good counts more.
func (k *task) blame(err error) {
	if t := k.tried(); t.writeErr == nil || IsPermanent(err) {
		t.writeErr = err
	}
}

// failedWrite counts a write that failed.
func (t *trial) failedWrite() {
	if t.writes++; t.writes == 1 {
		t.unwritten = time.Now()
	}
}

type writeState uint8

const (
	held writeState = iota // not sent
	sent
	acked
	failed
)

// resolve settles one acknowledgement of k and reports whether it was the
// last one.
func (k *task) resolve(err error) bool {
	if err != nil {
		k.blame(err)
	}
	if k.pending--; k.pending > 0 {
		return false
	}
	k.state = acked
	if k.writeErr() != nil {
		k.state = failed
	}
	return true
}

// idle reports whether nothing refers to the strand any more.
func (s *strand) idle() bool {
	return !s.busy && s.waiting.n == 0 && s.writing.n == 0 && s.mode == writeThrough
}

// strands keeps strands that are over for others. The zero value is ready.
type strands struct {
	spare []*strand
}

func (f *strands) get(t *tenure) *strand {
	if len(f.spare) == 0 {
		piece := make([]strand, 32)
		for i := range piece {
			f.spare = append(f.spare, &piece[i])
		}
	}
	last := len(f.spare) - 1
	s := f.spare[last]
	f.spare = f.spare[:last]
	s.tenure = t
	return s
}

// put takes an idle strand back. One whose outputs had to be written again is
// left to the garbage collector: a worker that hangs in a write may still
// look at it.
func (f *strands) put(s *strand) {
	again := s.round > 0
	*s = strand{}
	if !again {
		f.spare = append(f.spare, s)
	}
}
