package stage

import (
	"context"
	"time"
)

// Sink says where a stage's results go: a typed edge over untyped [Writer]s.
// Packages such as sink make them; the fields matter only to who writes one,
// and stagetest.TestSink holds that to what is said here.
type Sink[T any] struct {
	// Targets are where Encode may send records. Required.
	Targets []Target
	// Encode gives the records to write for v, which was made from in; any
	// number of them, for any of the targets. Key, headers and time of in
	// should travel on unless the sink is there to change them. It must be
	// safe for concurrent use. An error is permanent: the record is a dead
	// letter. Required.
	Encode func(v T, in *Raw, emit func(target int, out Raw)) error
}

// Target is one place that a [Sink] writes to.
type Target struct {
	// Share, if not nil, is comparable; targets of one stage with equal Share
	// get one writer between them.
	Share any
	// Topic is what is written to, where that is always the same.
	Topic string
	// Cluster, if not nil, is comparable: transactions span all targets, and
	// a source, of equal Cluster. The Writer is then a [TxnWriter] where
	// [Env.TransactionalID] is set.
	Cluster any
	// Open starts writing. Required.
	Open func(context.Context, Env) (Writer, error)
	// Check looks, before anything is opened, whether writing can work (see
	// [Check]). Optional.
	Check func(context.Context, Env) error
}

// Writer writes raw records. It is used from several goroutines at once.
type Writer interface {
	// Write takes the records and may return before they are written; records
	// of one call, and of calls that follow each other, are written in that
	// order as far as the order matters to the target (for Kafka: per
	// partition). It calls done exactly once for each record, when it is safe
	// or lost, from any goroutine. Until done a writer may read the records; it
	// must not change them. An error marked by [Permanent] says that this
	// record can never be written; after any other error the stage
	// writes it again. Write may block, which slows the stage down.
	Write(recs []Raw, done func(i int, err error))
	// Close waits until done was called for all records, or ctx ends, and
	// frees what the writer holds. Calls of Write are over, unless one has
	// blocked for longer than the stage waits: that one, and whatever comes
	// later, fails.
	Close(context.Context) error
}

// TxnWriter is a [Writer] that publishes what was written, and commits the
// marks of the records it was made from, all at once or not at all. Begin,
// Commit and Abort are called by one goroutine, Write between Begin and the
// other two.
//
// They mend by themselves what can be mended, for as long as ctx lasts. An
// error marked by [Permanent] stops the stage.
type TxnWriter interface {
	Writer
	Begin(context.Context) error
	// Commit ends the transaction. When it returns nil the transaction has
	// taken effect, when it returns an error it never will, unless that is
	// the context's. It wraps [ErrFenced] where the marks are not this
	// process's to commit any more.
	Commit(context.Context, map[Lane]Mark) error
	// Abort ends the transaction without effect. When the stage ends it may
	// come while a Write blocks, which should then return.
	Abort(context.Context) error
}

// LaneOpener is a [Writer] that writes the records of each lane apart, and has
// a note of its own in what is committed of the lane. So a target that takes no
// part in Kafka's transactions can hold each result once all the same: what is
// about to be written is noted first, and written when that is committed; who
// gets the lane next asks the target how much of the note came true, and leaves
// that out.
//
// Lanes must be [ResumableLane]s, and delivery [AtLeastOnce]. A stage has one
// LaneOpener at the most, and calls no Write of it but those of its lanes.
type LaneOpener interface {
	Writer
	// OpenLane begins to write a lane. note is that of the last commit, ""
	// if there was none. commit asks the stage to commit soon, rather than
	// after the CommitInterval. Neither of the two blocks.
	OpenLane(l Lane, note string, commit func()) LaneWriter
}

// LaneWriter writes what was made from the records of one lane. Nothing but
// Write may block.
type LaneWriter interface {
	// Write is that of a [Writer].
	Write(recs []Raw, done func(i int, err error))
	// Note gives what the next commit carries of this lane: at most
	// [MaxNote] bytes of printable ASCII. done reports of a record of the
	// lane, by its offset, whether that commit says it is done: only then
	// the note need not speak of it.
	Note(done func(offset int64) bool) string
	// Noted says that what Note has returned last is committed.
	Noted()
	// End says that nothing more is to be written: what has not begun fails,
	// and so may what has. The last commit comes after it, and it may come
	// again. The LaneOpener's Close waits until all is over.
	End()
}

// MaxNote is the size of a [LaneWriter]'s note at the most, in bytes.
const MaxNote = 2000

// DeadLetter is a record that a stage gave up on, and why.
type DeadLetter struct {
	Record   Raw    // the input record, byte for byte
	Stage    string // the name of the stage
	Step     Step   // what failed
	Err      error
	Attempts int // how often the step was tried
	Time     time.Time
}

// DeadLetterLimit is how many dead letters a stage may write: Count of them
// within Within stop it.
type DeadLetterLimit struct {
	Count  int
	Within time.Duration
}

// Step names the part of a stage's work that failed.
type Step string

// The steps of a record's way through a stage.
const (
	StepDecode    Step = "decode"
	StepTransform Step = "transform"
	StepEncode    Step = "encode"
	StepWrite     Step = "write"
)
