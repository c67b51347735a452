package stagetest

import (
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// SinkFixture is a sink to a place of its own that is empty, and what
// [TestSink] has to know of it. Sink, Value and Written are required.
type SinkFixture[T any] struct {
	// Sink is what is tested. Its targets may be opened again after they were
	// closed.
	Sink stage.Sink[T]
	// Value gives the i-th value to write: for each i another one that is
	// always the same and is there to be compared by reflect.DeepEqual. Where
	// the sink knows tombstones, let some of the values be one.
	Value func(i int) T
	// Written reads back what a reader of the place sees at that moment: of a
	// transaction that is open, nothing. Records of one key are in the order in
	// which they were written. It should go another way than the sink does.
	Written func() []stage.Record[T]
	// Without is what the sink has no place for. Without keys, all records
	// have one order.
	Without Parts
	// Unordered says that the place keeps no order.
	Unordered bool
	// TooLarge, if set, gives a value that the place refuses for good, for its
	// size or for whatever else is the record's own fault.
	TooLarge func() T
	// Lanes says that the writer is a [stage.LaneOpener]. There is one target.
	Lanes bool
	// Transaction, if set, has everything written in transactions.
	Transaction *Transaction
}

// Transaction is what [TestSink] needs of a sink whose writer is a
// [stage.TxnWriter].
type Transaction struct {
	// ID is the transactional id.
	ID string
	// Lane is one whose marks the transactions commit, held by a run that is
	// open until the fixture's Cleanup.
	Lane stage.Lane
	// Mark gives what is committed for Lane, and false if nothing is. The
	// suite commits the offsets 1, 2 and so on.
	Mark func() (offset int64, ok bool)
}

func (f SinkFixture[T]) samples(n, from int) []stage.Record[T] {
	return samples(n, from, 1, f.Without, f.Value)
}

// TestSink holds a sink to what [stage.Sink], [stage.Writer],
// [stage.TxnWriter] and [stage.LaneOpener] promise. It asks open for a fixture several times. What a
// fixture needs to close belongs into Cleanup.
//
// Run it with -race: that Encode is safe for concurrent use shows only then.
func TestSink[T any](t *testing.T, open func(tb testing.TB) SinkFixture[T]) {
	t.Helper()
	runChecks(t, open, sinkChecks[T])
}

// sinkChecks lists the checks that make sense for a sink.
func sinkChecks[T any](tb testing.TB, f SinkFixture[T]) []check[SinkFixture[T]] {
	tb.Helper()
	if len(f.Sink.Targets) == 0 || f.Sink.Encode == nil || f.Value == nil || f.Written == nil {
		tb.Fatal("stagetest: a SinkFixture needs Sink, Value and Written")
	}
	checks := []check[SinkFixture[T]]{
		{"encodes concurrently", testEncode[T]},
		{"writes every record once, in order, as it is", testWrites[T]},
		{"acknowledges what is there", testAcknowledges[T]},
		{"writes from several goroutines", testConcurrentWrites[T]},
		{"closes when all is answered", testSinkClose[T]},
		{"leaves no goroutine", testSinkLeaves[T]},
	}
	if f.TooLarge != nil {
		checks = append(checks, check[SinkFixture[T]]{"refuses for good one record alone", testTooLarge[T]})
	}
	for _, t := range f.Sink.Targets {
		if t.Check != nil {
			checks = append(checks, check[SinkFixture[T]]{"checks without a trace", testSinkCheck[T]})
			break
		}
	}
	if f.Lanes {
		checks = append(checks,
			check[SinkFixture[T]]{"writes what was noted", testNotesFirst[T]},
			check[SinkFixture[T]]{"writes once, whatever a crash leaves", testCrash[T]},
			check[SinkFixture[T]]{"ends a lane", testEndLane[T]},
		)
	}
	if f.Transaction != nil {
		checks = append(checks,
			check[SinkFixture[T]]{"publishes at the commit", testCommit[T]},
			check[SinkFixture[T]]{"aborts without a trace", testAbort[T]},
			check[SinkFixture[T]]{"aborts while writes are under way", testAbortUnanswered[T]},
		)
	}
	return checks
}
