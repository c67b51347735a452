package stage

import (
	"context"
	"log/slog"
	"time"
)

// Source says where a stage's records come from: a typed edge over an untyped
// [Reader]. Packages such as source make them; the fields matter only to who
// writes one, and stagetest.TestSource holds that to what is said here.
type Source[T any] struct {
	// Open starts reading. Required.
	Open func(context.Context, Env) (Reader, error)
	// Decode makes a value of a record. It runs in the workers, so it must be
	// safe for concurrent use. An error is permanent: the record is a dead
	// letter. Required.
	Decode func(*Raw) (T, error)
	// Cluster, if not nil, is comparable: transactions can commit this
	// source's marks together with what is written to targets of equal
	// Cluster.
	Cluster any
	// Check looks, before anything is opened, whether reading can work (see
	// [Check]). Optional.
	Check func(context.Context, Env) error
}

// Env is what a stage tells its source and its writers about itself.
type Env struct {
	Stage  string // the stage's name
	Logger *slog.Logger
	// Topics are those of all targets that share the writer that is opened.
	Topics []string
	// TransactionalID is set for exactly-once delivery only.
	TransactionalID string
	// Order is what the stage promises.
	Order Order
	// CommitInterval is how often the stage commits, or how long it keeps a
	// transaction open.
	CommitInterval time.Duration
	// DrainTimeout is how long the stage may hold on to a lane after it was
	// asked to give it up.
	DrainTimeout time.Duration
	// Notes tells the source that a writer keeps notes in the commits (see
	// [LaneOpener]): a lane must not begin before what was committed last is
	// known.
	Notes bool
}

// Reader delivers raw records, lane by lane. Read is called by one goroutine;
// Commit may be called while Read waits, and from several goroutines at once.
//
// A stage that is full does not call Read; the reader must bear that, by
// pausing its partitions for instance.
type Reader interface {
	// Read waits for records. It returns io.EOF when there will be no more,
	// the context's error when that ends first, and any other error only for
	// what it cannot mend itself: that error stops the stage.
	Read(context.Context) (Batch, error)
	// Commit makes the marks known to whoever reads these lanes next. Marks
	// of lanes that were released are ignored. An error marked by [Permanent]
	// says that trying again can't help.
	Commit(context.Context, map[Lane]Mark) error
	// Close ends all reading. The stage has released every lane before.
	Close(context.Context) error
}

// Batch is records that follow each other in one lane.
type Batch struct {
	Lane    Lane
	Records []Raw // not empty; the stage keeps pointers into it
}

// Lane is one tenure of one partition: from the moment it is assigned to this
// process to the moment it is taken away. The next tenure of the same
// partition is another Lane, so that nothing late reaches it. Lanes are compared
// by ==, so implement it by a pointer.
type Lane interface {
	ID() (topic string, partition int32)
	// Revoked is closed when the lane must be given up. The stage then
	// finishes what it has begun, commits, and calls Release.
	Revoked() <-chan struct{}
	// Release ends the tenure. It is called for each lane that Read delivered,
	// and once more where records of it were still on their way by then.
	Release()
}

// ResumableLane is a lane whose commits keep what is done above the low-water
// mark, so that the next tenure does only what was not finished. Without it,
// everything above the mark is done again.
type ResumableLane interface {
	Lane
	// Start returns what was committed last: the offset that reading began
	// at, and what was committed with it. The zero Mark: nothing is known.
	Start() Mark
	// Pause asks the reader to deliver no more of this lane, Resume to go on:
	// what is done above the mark would not fit into a commit. Neither may
	// block.
	Pause()
	Resume()
}
