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
	// What is no Kafka can hold each result once with AtLeastOnce, where its
	// writer is a [LaneOpener], as AppendOnce of sink/bigquery is.
	//
	// Records enter a transaction in the order of their partition: a slow one
	// delays the publication of what is behind it, but not its transform.
	//
	// It holds for readers that are set to read_committed, as source.Kafka is;
	// others also see what was undone. Brokers must be Kafka 2.5 or later.
	//
	// The Kafka client underneath, sarama, ends transactions by version 3 of
	// EndTxn, whatever the broker: without KIP-890, by which each transaction
	// would have an epoch of its own. What is left open by that: a request of
	// a transaction that went well, which the network has held back and the
	// client has sent again meanwhile, can be taken into the next transaction
	// of the same producer, or end it too early. After a failure of any kind a
	// stage goes on with a new producer, whose start shuts out all that the
	// old one has on its way.
	//
	// Brokers of Kafka 4.3 and 4.4 forget to end a transaction in partitions
	// that have no leader at that moment (KAFKA-20734): docs/reliability.md
	// says when that is, and how to find it.
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
