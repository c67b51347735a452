package stage_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/millrace-go/millrace/stage"
)

// ends counts the writers of a stage.
type ends struct {
	opened, closed atomic.Int64
	closeErr       atomic.Value
}

// count counts target's writers. A target with an err cannot be opened.
func (e *ends) count(target stage.Target, share any, err error) stage.Target {
	open := target.Open
	return stage.Target{Share: share, Open: func(ctx context.Context, env stage.Env) (stage.Writer, error) {
		if err != nil {
			return nil, err
		}
		w, err := open(ctx, env)
		e.opened.Add(1)
		return &countedWriter{w, e}, err
	}}
}

type countedWriter struct {
	stage.Writer
	ends *ends
}

func (w *countedWriter) Close(ctx context.Context) error {
	w.ends.closed.Add(1)
	if err := ctx.Err(); err != nil {
		w.ends.closeErr.Store(err)
	}
	return w.Writer.Close(ctx)
}

// TestWritersAreShared where targets say so, and every end is closed once,
// with a context that lives, though the stage was told to stop.
func TestWritersAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n ends
		var other rig
		r := newRig(same).withDeadLetters()
		mine, dead, others := r.sink.Sink(), r.dead.Sink(), other.sink.Sink()
		mine.Targets[0] = n.count(mine.Targets[0], "both", nil)
		others.Targets[0] = n.count(others.Targets[0], nil, nil)
		dead.Targets[0] = n.count(dead.Targets[0], "both", nil)
		r.stage.Sink = split(mine, others, func(v string) (bool, bool) { return v == "a:1", v == "b:1" })
		r.stage.DeadLetters = dead
		spy := r.spyOnReader()
		r.push("a:1", "b:1")
		stop := r.start(t)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if a, b := r.sink.Values(), other.sink.Values(); len(a) != 1 || a[0] != "a:1" || len(b) != 1 || b[0] != "b:1" {
			t.Errorf("written %q and %q: outputs went to the wrong writer", a, b)
		}
		if n.opened.Load() != 2 || n.closed.Load() != 2 || spy.closes.Load() != 1 {
			t.Errorf("%d writers opened, %d closed, %d readers closed; want 2, 2 and 1", n.opened.Load(), n.closed.Load(), spy.closes.Load())
		}
		if err := n.closeErr.Load(); err != nil || spy.closeErr != nil {
			t.Errorf("closed under contexts that had ended: writers %v, reader %v", err, spy.closeErr)
		}
	})
}

// TestOpenThatFailsClosesWhatIsOpen, also when the stage was told to stop
// meanwhile.
func TestOpenThatFailsClosesWhatIsOpen(t *testing.T) {
	broken := errors.New("broken")
	for _, which := range []string{"writer", "reader"} {
		t.Run(which, func(t *testing.T) {
			var n ends
			var writerErr, readerErr error
			if which == "writer" {
				writerErr = broken
			} else {
				readerErr = broken
			}
			r := newRig(same).withDeadLetters()
			r.stage.Sink.Targets[0] = n.count(r.stage.Sink.Targets[0], nil, nil)
			r.stage.DeadLetters.Targets[0] = n.count(r.stage.DeadLetters.Targets[0], nil, writerErr)
			open := r.stage.Source.Open
			r.stage.Source.Open = func(ctx context.Context, env stage.Env) (stage.Reader, error) {
				if readerErr != nil {
					return nil, readerErr
				}
				return open(ctx, env)
			}
			err := stage.Run(t.Context(), &r.stage)
			if !errors.Is(err, broken) || !strings.Contains(err.Error(), `stage "test"`) {
				t.Errorf("error %v", err)
			}
			if o, c := n.opened.Load(), n.closed.Load(); o == 0 || o != c {
				t.Errorf("%d writers opened, %d closed", o, c)
			}
		})
	}
}

func TestStopWhileOpeningIsNoFailure(t *testing.T) {
	var n ends
	r := newRig(same)
	r.stage.Sink.Targets[0] = n.count(r.stage.Sink.Targets[0], nil, nil)
	ctx, stop := context.WithCancel(t.Context())
	r.stage.Source.Open = func(ctx context.Context, _ stage.Env) (stage.Reader, error) {
		stop()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := stage.Run(ctx, &r.stage); err != nil {
		t.Error(err)
	}
	if n.opened.Load() != 1 || n.closed.Load() != 1 {
		t.Errorf("%d writers opened, %d closed; want 1 and 1", n.opened.Load(), n.closed.Load())
	}
	if err := n.closeErr.Load(); err != nil {
		t.Errorf("the writer was closed under a context that had ended: %v", err)
	}
}
