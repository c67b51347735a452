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
	shorter   chan struct{} // has something when the queue has become, or stayed, short
	once      sync.Once

	// The reader's lock guards these.
	queue     [][]stage.Raw // fetched, and not delivered yet
	records   int           // in queue
	bytes     int           // of those
	queued    bool          // the lane is in the reader's line
	delivered bool          // the stage knows this lane
	paused    bool          // sarama fetches no more of it
	held      bool          // the stage takes no more of it
	atEnd     bool          // a bounded run has read all of it
}

func (l *claimLane) ID() (string, int32)      { return l.topic, l.partition }
func (l *claimLane) Revoked() <-chan struct{} { return l.revoked }
func (l *claimLane) Release()                 { l.once.Do(func() { close(l.released) }) }
func (l *claimLane) Start() stage.Mark        { return l.start }

func (l *claimLane) isReleased() bool {
	select {
	case <-l.released:
		return true
	default:
		return false
	}
}

// long reports whether the queue is. The reader's lock is the caller's.
func (l *claimLane) long() bool { return l.records > queueRecords || l.bytes > queueBytes }

// Metadata says who commits in a transaction, and so keeps out a process that
// the group has given up.
func (l *claimLane) Metadata() *sarama.ConsumerGroupMetadata {
	var instance *string
	if id := l.reader.client.Config().Consumer.Group.InstanceId; id != "" {
		instance = &id
	}
	return sarama.NewConsumerGroupMetadataFromSession(l.session, l.reader.opts.group, instance)
}

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
