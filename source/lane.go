package source

import (
	"sync"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
)

// claimLane is one claim of a partition, from ConsumeClaim's begin to its end.
type claimLane struct {
	reader    *groupReader
	session   sarama.ConsumerGroupSession
	start     stage.Mark
	topic     string
	partition int32
	revoked   chan struct{}
	released  chan struct{}
	once      sync.Once

	// The reader's lock guards these.
	queue     []stage.Raw // fetched, and not delivered yet
	bytes     int         // of queue
	queued    bool        // the lane is in the reader's line
	delivered bool        // the stage knows this lane
	paused    bool        // sarama fetches no more of it
	held      bool        // the stage takes no more of it
	atEnd     bool        // a bounded run has read all of it

	mu   sync.Mutex
	over bool // guards the next tenure against late marks, see mark
}

func (l *claimLane) ID() (string, int32)      { return l.topic, l.partition }
func (l *claimLane) Revoked() <-chan struct{} { return l.revoked }
func (l *claimLane) Release()                 { l.once.Do(func() { close(l.released) }) }
func (l *claimLane) Start() stage.Mark        { return l.start }

// Pause keeps the lane's queue from the stage.
func (l *claimLane) Pause() {
	l.reader.mu.Lock()
	defer l.reader.mu.Unlock()
	l.held = true
	l.reader.unlist(l)
}

// Resume delivers it again.
func (l *claimLane) Resume() {
	l.reader.mu.Lock()
	defer l.reader.mu.Unlock()
	l.held = false
	l.reader.list(l)
}

// mark notes what the next commit says and reports whether the lane still
// may. sarama looks the partition up by name, so that a mark after the end of
// the tenure would hit the next one.
func (l *claimLane) mark(m stage.Mark) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.session.MarkOffset(l.topic, l.partition, m.Offset, m.Done)
	// sarama ignores a mark at the offset it has, also with new metadata; a
	// reset takes it.
	l.session.ResetOffset(l.topic, l.partition, m.Offset, m.Done)
	return true
}

// end ends the tenure: no mark comes after it.
func (l *claimLane) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}
