package reply_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage/reply"
)

// A close waits for what was asked, and takes nothing new.
func TestCloseDrains(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{MaxWaiting: 1})
	waiting := d.ask(t.Context(), "still there?")
	q := d.find(t, "still there?")
	noRoom := d.ask(t.Context(), "me too?")
	closed := make(chan error, 1)
	go func() { closed <- d.asker.Close(t.Context()) }()
	if got := <-noRoom; !errors.Is(got.err, reply.ErrClosed) {
		t.Errorf("who waited for room got %+v", got)
	}
	if _, err := d.asker.Ask(t.Context(), "hello?"); !errors.Is(err, reply.ErrClosed) {
		t.Errorf("asking meanwhile: %v", err)
	}
	select {
	case err := <-closed:
		t.Fatalf("closed with a question waiting: %v", err)
	default:
	}
	d.Produce(t, answers().Name, answerTo(q, "yes"))
	if got := <-waiting; got.err != nil || got.answer != "yes" {
		t.Errorf("who waited got %+v", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	waiting := d.ask(t.Context(), "still there?")
	d.await(t, "acknowledgement", func(s reply.Stats) bool { return s.Written == 1 })
	if err := d.asker.Close(ended()); err != nil {
		t.Error(err)
	}
	if got := <-waiting; !errors.Is(got.err, reply.ErrClosed) {
		t.Errorf("who waited got %+v", got)
	}
	if s := d.asker.Stats(); s != (reply.Stats{Asked: 1, Written: 1, Failed: 1}) {
		t.Errorf("%+v", s)
	}
	if err := d.asker.Close(t.Context()); err != nil {
		t.Errorf("the second close: %v", err)
	}
}

// Closing while questions are on their way out must neither panic nor hang.
func TestCloseAmidQuestions(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	for range 5 {
		a := d.dial(t, reply.Options{Timeout: time.Millisecond, MaxWaiting: 4})
		var asking sync.WaitGroup
		begun := make(chan struct{}, 8)
		for range 8 {
			asking.Go(func() {
				for {
					_, err := a.Ask(t.Context(), "hello?")
					select {
					case begun <- struct{}{}:
					default:
					}
					if errors.Is(err, reply.ErrClosed) {
						return
					}
				}
			})
		}
		<-begun
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
		asking.Wait()
		s := a.Stats()
		if s.Waiting != 0 || s.Asked != s.GivenUp+s.Failed {
			t.Errorf("%+v", s)
		}
	}
}

// A close ends though the broker hangs, or is gone, and a question is with it.
func TestCloseWithoutABroker(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*testing.T, *desk){
		"hangs": func(t *testing.T, d *desk) { t.Cleanup(d.link.Hang()) },
		"gone":  func(_ *testing.T, d *desk) { d.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, reply.Options{})
			lose(t, d)
			waiting := d.ask(t.Context(), "anybody?")
			d.await(t, "question", func(s reply.Stats) bool { return s.Waiting == 1 })
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_ = d.asker.Close(ctx) // it may tell of the broken connections
			if got := <-waiting; !errors.Is(got.err, reply.ErrClosed) {
				t.Errorf("who waited got %+v", got)
			}
		})
	}
}
