package stage_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// TestWriteThatIsNeverAnswered: the transaction is given up when the target gives
// it up, and its records are published by another one, once.
func TestWriteThatIsNeverAnswered(t *testing.T) {
	for name, never := range map[string]func(l *ledger) stage.Writer{
		"no answer": func(l *ledger) stage.Writer {
			first := true
			l.silent = func(stage.Raw) bool {
				was := first
				first = false
				return was
			}
			return l
		},
		"a Write that blocks": func(l *ledger) stage.Writer { return &stuckOnce{ledger: l, aborted: make(chan struct{})} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &ledger{limit: 40 * time.Second}
				s := exactly(l, same)
				target := s.Sink.Targets[0]
				w := never(l)
				target.Open = func(context.Context, stage.Env) (stage.Writer, error) { return w, nil }
				s.Sink.Targets, s.DeadLetters = []stage.Target{target}, stage.Sink[stage.DeadLetter]{}
				for range 10 {
					l.src.Push(0, nil, "value")
				}
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- stage.Run(ctx, s) }()
				time.Sleep(39 * time.Second)
				l.mu.Lock()
				if l.aborts != 0 || l.commits != 0 {
					t.Errorf("%d aborts and %d commits before the transaction's time is over", l.aborts, l.commits)
				}
				l.mu.Unlock()
				time.Sleep(3 * time.Second)
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if l.aborts != 1 || len(l.topic("out")) != 10 || l.src.Committed(0) != 10 {
					t.Errorf("%d aborts, %d published, %d committed; want 1, 10, 10", l.aborts, len(l.topic("out")), l.src.Committed(0))
				}
			})
		})
	}
}

// stuckOnce is a ledger whose first Write blocks until Abort.
type stuckOnce struct {
	*ledger
	stuck   atomic.Bool
	aborted chan struct{}
}

func (s *stuckOnce) Write(recs []stage.Raw, done func(int, error)) {
	if s.stuck.CompareAndSwap(false, true) {
		<-s.aborted
		return
	}
	s.ledger.Write(recs, done)
}

func (s *stuckOnce) Abort(ctx context.Context) error {
	close(s.aborted)
	return s.ledger.Abort(ctx)
}
