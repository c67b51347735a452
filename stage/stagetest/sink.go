package stagetest

import (
	"context"
	"sync"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// Sink keeps what a stage writes. The zero value takes everything at once. It
// is safe for concurrent use.
type Sink[T any] struct {
	// Latency is how long a write takes to be acknowledged.
	Latency time.Duration
	// Refuse, if set, may return the error that a write fails with; nth is
	// how often this sink was asked to write anything before.
	Refuse func(r stage.Record[T], nth int) error

	mu      sync.Mutex
	pending []stage.Record[T]
	written []stage.Record[T]
	asked   int
}

// Written returns the records that were written, in their order.
func (s *Sink[T]) Written() []stage.Record[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]stage.Record[T](nil), s.written...)
}

// Values returns the values that were written, in their order.
func (s *Sink[T]) Values() []T {
	var values []T
	for _, r := range s.Written() {
		values = append(values, r.Value)
	}
	return values
}

// Sink is what the stage gets.
func (s *Sink[T]) Sink() stage.Sink[T] {
	return stage.Sink[T]{
		Targets: []stage.Target{{
			Share: s,
			Open:  func(context.Context, stage.Env) (stage.Writer, error) { return &writer[T]{sink: s}, nil },
		}},
		Encode: func(v T, in *stage.Raw, emit func(int, stage.Raw)) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			out := *in
			out.Offset = int64(len(s.pending)) // how the writer finds the value again
			s.pending = append(s.pending, stage.Record[T]{Value: v, Raw: *in})
			emit(0, out)
			return nil
		},
	}
}

type writer[T any] struct {
	sink  *Sink[T]
	acks  sync.WaitGroup
	order sync.Mutex // writes are in the order of the calls
}

func (w *writer[T]) Write(recs []stage.Raw, done func(i int, err error)) {
	w.order.Lock()
	defer w.order.Unlock()
	errs := make([]error, len(recs))
	for i, r := range recs {
		errs[i] = w.sink.write(r)
	}
	w.acks.Go(func() {
		if w.sink.Latency > 0 {
			time.Sleep(w.sink.Latency)
		}
		for i, err := range errs {
			done(i, err)
		}
	})
}

func (s *Sink[T]) write(r stage.Raw) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.pending[r.Offset]
	nth := s.asked
	s.asked++
	if s.Refuse != nil {
		if err := s.Refuse(rec, nth); err != nil {
			return err
		}
	}
	s.written = append(s.written, rec)
	return nil
}

func (w *writer[T]) Close(context.Context) error {
	w.acks.Wait()
	return nil
}
