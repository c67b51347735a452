package stage_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// clogged is a ledger that takes nothing: Write blocks until Abort.
type clogged struct {
	*ledger
	aborted chan struct{}
}

func (c *clogged) Write(recs []stage.Raw, done func(int, error)) {
	<-c.aborted
	for i := range recs {
		done(i, errors.New("aborted"))
	}
}

func (c *clogged) Abort(ctx context.Context) error {
	close(c.aborted)
	return c.ledger.Abort(ctx)
}

// TestStopWhileAWriteBlocksInATransaction: Run returns after DrainTimeout, and
// the transaction is undone.
func TestStopWhileAWriteBlocksInATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		s := exactly(l, same)
		s.DrainTimeout = time.Minute
		target := s.Sink.Targets[0]
		target.Open = func(context.Context, stage.Env) (stage.Writer, error) {
			return &clogged{ledger: l, aborted: make(chan struct{})}, nil
		}
		s.Sink.Targets = []stage.Target{target}
		for range 10 {
			l.src.Push(0, nil, "value")
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- stage.Run(ctx, s) }()
		time.Sleep(time.Second)
		stop()
		start := time.Now()
		err := <-done
		if d := time.Since(start); d != time.Minute || err == nil || !strings.Contains(err.Error(), "10 records were not finished") {
			t.Errorf("error %v after %v", err, d)
		}
		if l.aborts != 1 || l.commits != 0 || l.src.Committed(0) != 0 {
			t.Errorf("%d aborts, %d commits, %d committed; want the one transaction undone", l.aborts, l.commits, l.src.Committed(0))
		}
	})
}

// TestRecordThatCannotBePublished stops the stage: what is before it in its
// partition is published, and nothing behind it.
func TestRecordThatCannotBePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		l.fault = func(op string, r stage.Raw) error {
			if op == "write" && string(r.Value) == "bad" {
				return stage.Permanent(errors.New("too large"))
			}
			return nil
		}
		s := exactly(l, same)
		s.DeadLetters = stage.Sink[stage.DeadLetter]{}
		s.BatchSize = 20
		for i := range 10 {
			value := "good"
			if i == 5 {
				value = "bad"
			}
			l.src.Push(0, nil, value)
			l.src.Push(1, nil, "good")
		}
		err := stage.Run(t.Context(), s)
		if bad, ok := errors.AsType[*stage.RecordError](err); !ok || bad.Offset != 5 || bad.Step != stage.StepWrite || strings.Contains(err.Error(), "not finished") {
			t.Errorf("error %v", err)
		}
		if n, one, two := len(l.topic("out")), l.src.Committed(0), l.src.Committed(1); n != 15 || one != 5 || two != 10 {
			t.Errorf("%d published, %d and %d committed; want 15, 5 and 10", n, one, two)
		}
		if l.faults["write"] != 1 {
			t.Errorf("it was written %d times", l.faults["write"])
		}
	})
}

// tardy is a ledger that answers late, by partition.
type tardy struct {
	*ledger
	after map[int32]time.Duration
}

func (l *tardy) Write(recs []stage.Raw, done func(int, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, recs...)
	for i, r := range recs {
		time.AfterFunc(l.after[r.Partition], func() { done(i, nil) })
	}
}

// TestAnswerOfAnEarlierTransaction counts for nothing in the one that is open:
// that waits for its own.
func TestAnswerOfAnEarlierTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		s := exactly(l, same)
		s.DrainTimeout = time.Second
		target := s.Sink.Targets[0]
		target.Open = func(context.Context, stage.Env) (stage.Writer, error) {
			return &tardy{l, map[int32]time.Duration{0: 10 * time.Second, 1: 30 * time.Second}}, nil
		}
		s.Sink.Targets = []stage.Target{target}
		l.src.Push(0, nil, "value")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- stage.Run(ctx, s) }()
		time.Sleep(time.Second)
		l.src.Revoke(0) // lost after DrainTimeout: its answer comes in the next transaction
		l.src.Push(1, nil, "value")
		time.Sleep(20 * time.Second)
		if commits, _ := l.counts(); commits != 0 || l.aborts != 1 {
			t.Errorf("%d commits, %d aborts; want one abort, and the next transaction to wait", commits, l.aborts)
		}
		time.Sleep(20 * time.Second)
		if commits, _ := l.counts(); commits != 1 || len(l.topic("out")) != 1 {
			t.Errorf("%d commits, %d published; want one", commits, len(l.topic("out")))
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}
