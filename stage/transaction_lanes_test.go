package stage_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// A lane is taken away while a transaction that holds its results is being
// committed. It must not be released before that has ended, however long that
// takes; and what becomes of the results depends on how it ended, and on
// whether the lane was lost meanwhile.
func TestLaneIsRevokedDuringACommit(t *testing.T) {
	moved := errors.New("the coordinator moved")
	for name, on := range map[string]struct {
		took    bool
		err     error         // of the commit
		takes   time.Duration // how long the commit does, from the revoke on
		again   bool          // the lane's results go into another transaction of this tenure
		commits int           // that take effect before the lane is given back
	}{
		"it takes effect":                       {true, nil, time.Second, false, 1},
		"it takes effect after the drain":       {true, nil, 10 * time.Second, false, 1},
		"it fails":                              {false, moved, time.Second, true, 1},
		"it fails after the drain":              {false, moved, 10 * time.Second, false, 1}, // the other lane's
		"the lane has another owner":            {false, stage.ErrFenced, time.Second, false, 1},
		"it has another owner, after the drain": {false, stage.ErrFenced, 10 * time.Second, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &ledger{}
				revoke := make(chan struct{})
				l.outcome = func(_ context.Context, nth int) (bool, error) {
					if nth > 1 {
						return true, nil
					}
					close(revoke)
					time.Sleep(on.takes)
					return on.took, on.err
				}
				s := exactly(l, same)
				s.DrainTimeout = 5 * time.Second
				for i := range 10 {
					l.src.Push(0, nil, "0:"+strconv.Itoa(i))
					l.src.Push(1, nil, "1:"+strconv.Itoa(i))
				}
				done := make(chan error)
				go func() { done <- stage.Run(t.Context(), s) }()
				<-revoke
				begun := time.Now()
				l.src.Revoke(0) // returns when the stage has released it
				if took := time.Since(begun); took < on.takes {
					t.Errorf("released after %v, in the middle of the commit", took)
				}
				time.Sleep(time.Second) // whatever is replayed is replayed by now
				if n, _ := l.counts(); n != on.commits {
					t.Errorf("%d commits, want %d", n, on.commits)
				}
				mine := on.took || on.again
				if got := len(byPartition(l.topic("out"), 0)); mine && got != 10 || !mine && got != 0 {
					t.Errorf("%d results of the lane that was taken away", got)
				}
				if got := len(byPartition(l.topic("out"), 1)); got != 10 {
					t.Errorf("%d results of the lane that stayed, want 10", got)
				}
				l.src.Assign(0)
				l.src.End()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				for p := range 2 {
					var want []string
					for i := range 10 {
						want = append(want, strconv.Itoa(p)+":"+strconv.Itoa(i))
					}
					if got := byPartition(l.topic("out"), p); !slices.Equal(got, want) {
						t.Errorf("partition %d: published %q", p, got)
					}
				}
			})
		})
	}
}

// TestLaneIsRevokedWhileAWriteIsNotAnswered: the transaction is undone when the
// lane is lost, and the other lane's results go into the next one.
func TestLaneIsRevokedWhileAWriteIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		l.silent = func(r stage.Raw) bool { return r.Partition == 0 }
		s := exactly(l, same)
		s.DrainTimeout = 5 * time.Second
		for i := range 10 {
			l.src.Push(0, nil, "0:"+strconv.Itoa(i))
			l.src.Push(1, nil, "1:"+strconv.Itoa(i))
		}
		done := make(chan error)
		go func() { done <- stage.Run(t.Context(), s) }()
		time.Sleep(time.Second)
		if n, _ := l.counts(); n != 0 {
			t.Fatalf("%d commits of a transaction that has unanswered writes", n)
		}
		l.src.Revoke(0)
		time.Sleep(time.Second)
		if zero, one := byPartition(l.topic("out"), 0), byPartition(l.topic("out"), 1); len(zero) != 0 || len(one) != 10 || l.aborts != 1 {
			t.Errorf("%d of the lost lane, %d of the other, %d aborts; want 0, 10, 1", len(zero), len(one), l.aborts)
		}
		l.silent = nil
		l.src.Assign(0)
		l.src.End()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if zero := byPartition(l.topic("out"), 0); len(zero) != 10 {
			t.Errorf("%d results of the lane that came back", len(zero))
		}
	})
}

// TestLaneIsLostBeforeItsResultsEnter a transaction, since another one's
// commit takes so long: they enter none any more.
func TestLaneIsLostBeforeItsResultsEnter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		l.outcome = func(_ context.Context, nth int) (bool, error) {
			if nth == 1 {
				time.Sleep(20 * time.Second)
			}
			return true, nil
		}
		s := exactly(l, same)
		s.DrainTimeout = 5 * time.Second
		l.src.Push(1, nil, "1:0")
		done := make(chan error)
		go func() { done <- stage.Run(t.Context(), s) }()
		time.Sleep(time.Second) // the first commit is under way
		l.src.Push(0, nil, "0:0")
		time.Sleep(time.Second)
		begun := time.Now()
		l.src.Revoke(0)
		if took := time.Since(begun); took != s.DrainTimeout {
			t.Errorf("released after %v, want DrainTimeout", took)
		}
		time.Sleep(30 * time.Second)
		if got := l.topic("out"); len(got) != 1 || l.aborts != 0 {
			t.Errorf("%d published, %d aborts; want 1 and 0", len(got), l.aborts)
		}
		l.src.Assign(0)
		l.src.End()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := byPartition(l.topic("out"), 0); len(got) != 1 {
			t.Errorf("%d published of the lane that came back", len(got))
		}
	})
}

// TestOutcomeIsNotKnownWithinTheDrain: a stage that is told to stop gives up
// asking whether its last transaction took effect. The next run goes by the
// committed offsets, and so each record is published once either way.
func TestOutcomeIsNotKnownWithinTheDrain(t *testing.T) {
	for _, took := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{}
			ctx, stop := context.WithCancel(t.Context())
			l.outcome = func(ctx context.Context, nth int) (bool, error) {
				if nth > 1 {
					return true, nil
				}
				stop()
				<-ctx.Done()
				return took, ctx.Err()
			}
			s := exactly(l, same)
			s.DrainTimeout = 5 * time.Second
			for i := range 10 {
				l.src.Push(0, nil, strconv.Itoa(i))
			}
			begun := time.Now()
			err := stage.Run(ctx, s)
			if passed := time.Since(begun); err == nil || passed < s.DrainTimeout || passed > 2*s.DrainTimeout {
				t.Errorf("took effect: %v: ended after %v with %v", took, passed, err)
			}
			l.src.End()
			if err := stage.Run(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
			if got := byPartition(l.topic("out"), 0); !slices.Equal(got, want) {
				t.Errorf("took effect: %v: published %q", took, got)
			}
		})
	}
}
