package stagetest

import (
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// SourceFixture is a source over a place of its own that is empty, and what
// [TestSource] has to do there. Source, Value and Put are required.
type SourceFixture[T any] struct {
	// Source is what is tested. Each Open is another run, which begins after
	// the one before it has ended.
	Source stage.Source[T]
	// Value gives the i-th value to put: for each i another one that is always
	// the same and is there to be compared by reflect.DeepEqual. Where the
	// source knows tombstones, let some of the values be one.
	Value func(i int) T
	// Put appends records to the place, in their order, each to its Partition.
	Put func(recs ...stage.Record[T])
	// Bytes, if set, gives what Raw.Value must be for a value.
	Bytes func(T) []byte
	// Partitions is how many partitions there are. Zero means one. With
	// several, a lane's ID gives the partition that Put was told.
	Partitions int
	// Without is what the source has no place for.
	Without Parts
	// Finite says that the source ends with what was put before it was opened.
	// Otherwise it waits for more.
	Finite bool
	// Forgets says that commits are without effect: each run begins anew.
	Forgets bool
	// Revoke, if set and the source is not Finite, takes at least one partition away from the run that is
	// open, and gives a function that gives it back to the same run. Both may
	// wait for the release of lanes. They are called in goroutines of their
	// own, so that they should fail a test by its Error.
	Revoke func() (giveBack func())
}

func (f SourceFixture[T]) partitions() int { return max(1, f.Partitions) }

func (f SourceFixture[T]) samples(n, from int) []stage.Record[T] {
	return samples(n, from, f.partitions(), f.Without, f.Value)
}

// TestSource holds a source to what [stage.Source], [stage.Reader],
// [stage.Lane] and [stage.ResumableLane] promise. It asks open for a fixture
// several times. What a fixture needs to close belongs into Cleanup.
//
// Run it with -race: that Decode is safe for concurrent use shows only then.
func TestSource[T any](t *testing.T, open func(tb testing.TB) SourceFixture[T]) {
	t.Helper()
	runChecks(t, open, sourceChecks[T])
}

// sourceChecks lists the checks that make sense for a source.
func sourceChecks[T any](tb testing.TB, f SourceFixture[T]) []check[SourceFixture[T]] {
	tb.Helper()
	if f.Source.Open == nil || f.Source.Decode == nil || f.Value == nil || f.Put == nil {
		tb.Fatal("stagetest: a SourceFixture needs Source, Value and Put")
	}
	checks := []check[SourceFixture[T]]{
		{"delivers every record once, in order, as it was", testDelivers[T]},
		{"decodes concurrently", testDecode[T]},
		{"waits while it is not read", testUnread[T]},
		{"commits beside a read", testCommitBesideRead[T]},
		{"leaves no goroutine", testSourceLeaves[T]},
	}
	if f.Finite {
		checks = append(checks, check[SourceFixture[T]]{"ends", testEnds[T]})
	} else {
		checks = append(checks, check[SourceFixture[T]]{"reads until the context ends", testWaits[T]})
	}
	if f.Source.Check != nil {
		checks = append(checks, check[SourceFixture[T]]{"checks without a trace", testSourceCheck[T]})
	}
	if !f.Forgets {
		checks = append(checks, check[SourceFixture[T]]{"begins at the mark", testBeginsAtMark[T]})
		if !f.Finite {
			checks = append(checks, check[SourceFixture[T]]{"pauses a lane", testPause[T]})
		}
		if !f.Finite && f.Revoke != nil {
			checks = append(checks, check[SourceFixture[T]]{"gives up a lane", testRevoke[T]})
		}
	}
	return checks
}
