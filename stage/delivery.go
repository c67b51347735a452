package stage

import (
	"fmt"
	"time"
)

// Delivery is what a stage promises about the results of each record.
type Delivery int

const (
	// AtLeastOnce commits a record's offset after its results are
	// acknowledged. What was in flight when a process dies is done again.
	AtLeastOnce Delivery = iota
	// ExactlyOnce writes results and commits offsets in transactions, one per
	// [Stage.CommitInterval], so that whoever reads the committed records
	// sees each result once, whatever dies in between. Source, Sink and
	// DeadLetters must be of one Kafka cluster, and [Stage.TransactionalID]
	// must be set. Transforms may still be called again for a record.
	//
	// Records enter a transaction in the order of their partition: a slow one
	// delays the publication of what is behind it, but not its transform.
	ExactlyOnce
)

func (d Delivery) commitInterval() time.Duration {
	if d == ExactlyOnce {
		return 100 * time.Millisecond
	}
	return time.Second
}

// String gives the constant's name.
func (d Delivery) String() string {
	switch d {
	case AtLeastOnce:
		return "AtLeastOnce"
	case ExactlyOnce:
		return "ExactlyOnce"
	}
	return fmt.Sprintf("Delivery(%d)", int(d))
}
