package source

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// Slice reads the values of a slice, in order, and ends. Records have no key;
// their offset is the index. It cannot be committed: each run starts anew.
func Slice[T any](values []T) stage.Source[T] { return Seq(slices.Values(values)) }

// Seq reads the values of an iterator, in order, and ends with it. A record's
// offset counts from 0, and its partition counts the runs of this source. It
// cannot be committed: each run starts the iterator anew, also beside another.
//
// The iterator runs in a goroutine of its own, up to 64 values ahead of the
// stage. A stage that stops waits a second for it to return. If it blocks for
// ever, its goroutine stays behind.
func Seq[T any](values iter.Seq[T]) stage.Source[T] {
	var runs atomic.Int32
	var pendings sync.Map // by run, a *pending[T]: Decode knows no more than the record
	return stage.Source[T]{
		Open: func(_ context.Context, env stage.Env) (stage.Reader, error) {
			run := runs.Add(1) - 1
			r := &valueReader[T]{
				log:     env.Logger,
				pending: &pending[T]{values: make(map[int64]T)},
				lane:    newLocalLane("values"),
				values:  make(chan T, 64),
				closed:  make(chan struct{}),
				drop:    func() { pendings.Delete(run) },
			}
			r.lane.partition = run
			pendings.Store(run, r.pending)
			go r.run(values)
			return r, nil
		},
		Decode: func(r *stage.Raw) (v T, err error) {
			if p, ok := pendings.Load(r.Partition); ok {
				if v, ok := p.(*pending[T]).get(r.Offset); ok {
					return v, nil
				}
			}
			return v, fmt.Errorf("source: value %d of run %d is no longer kept", r.Offset, r.Partition)
		},
	}
}

// pending holds one run's values between Read and Decode; a record has no
// bytes to carry them.
type pending[T any] struct {
	mu     sync.Mutex
	values map[int64]T
	oldest int64
}

func (p *pending[T]) put(offset int64, v T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.values[offset] = v
}

func (p *pending[T]) get(offset int64) (T, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, ok := p.values[offset]
	return v, ok
}

// forget drops the values below a mark: no retry will ask for them again.
func (p *pending[T]) forget(mark int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; p.oldest < mark; p.oldest++ {
		delete(p.values, p.oldest)
	}
}

type valueReader[T any] struct {
	log     *slog.Logger
	pending *pending[T]
	lane    *localLane
	values  chan T // closed at the end
	closed  chan struct{}
	drop    func() // all that is pending
	offset  int64
}

func (r *valueReader[T]) run(values iter.Seq[T]) {
	defer close(r.values)
	for v := range values {
		select {
		case r.values <- v:
		case <-r.closed:
			return
		}
	}
}

func (r *valueReader[T]) Read(ctx context.Context) (stage.Batch, error) {
	b := stage.Batch{Lane: r.lane}
	select {
	case v, ok := <-r.values:
		if !ok {
			return stage.Batch{}, io.EOF
		}
		b.Records = append(b.Records, r.record(v))
	case <-ctx.Done():
		return stage.Batch{}, ctx.Err()
	}
	for range len(r.values) {
		b.Records = append(b.Records, r.record(<-r.values))
	}
	return b, nil
}

func (r *valueReader[T]) record(v T) stage.Raw {
	raw := stage.Raw{Topic: r.lane.name, Partition: r.lane.partition, Offset: r.offset}
	r.pending.put(r.offset, v)
	r.offset++
	return raw
}

func (r *valueReader[T]) Commit(_ context.Context, marks map[stage.Lane]stage.Mark) error {
	if m, ok := marks[r.lane]; ok {
		r.pending.forget(m.Offset)
	}
	return nil
}

// Close waits for the iterator, which may use what its owner tidies up when
// the stage has returned. Nothing can make it return, so not for long.
func (r *valueReader[T]) Close(ctx context.Context) error {
	r.drop()
	close(r.closed)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		select {
		case _, ok := <-r.values:
			if !ok {
				return nil
			}
		case <-ctx.Done():
			r.log.Warn("the stage ends, but the iterator that it read has not returned")
			return nil
		}
	}
}

// localLane is the only lane of a source that nobody takes away.
type localLane struct {
	name      string
	partition int32
	revoked   chan struct{}
}

func newLocalLane(name string) *localLane {
	return &localLane{name: name, revoked: make(chan struct{})}
}

func (l *localLane) ID() (string, int32)      { return l.name, l.partition }
func (l *localLane) Revoked() <-chan struct{} { return l.revoked }
func (l *localLane) Release()                 {}
