package source

import (
	"context"
	"io"
	"iter"
	"slices"
	"sync"

	"github.com/millrace-go/millrace/stage"
)

// Slice reads the values of a slice, in order, and ends. Records have no key;
// their offset is the index. It cannot be committed: each run starts anew.
func Slice[T any](values []T) stage.Source[T] { return Seq(slices.Values(values)) }

// Seq reads the values of an iterator, in order, and ends with it. A record's
// offset counts from 0. The iterator runs in a goroutine of its own, one value
// ahead of the stage. It cannot be committed: each run starts anew.
func Seq[T any](values iter.Seq[T]) stage.Source[T] {
	pending := &pending[T]{values: make(map[int64]T)}
	return stage.Source[T]{
		Open: func(context.Context, stage.Env) (stage.Reader, error) {
			next, stop := iter.Pull(values)
			return &valueReader[T]{next: next, stop: stop, pending: pending, lane: newLocalLane("values")}, nil
		},
		Decode: func(r *stage.Raw) (T, error) { return pending.get(r.Offset), nil },
	}
}

// pending holds the values between Read and Decode; a record has no bytes to
// carry them.
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

func (p *pending[T]) get(offset int64) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.values[offset]
}

// forget drops the values below a mark: no retry will ask for them again.
func (p *pending[T]) forget(mark int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; p.oldest < mark; p.oldest++ {
		delete(p.values, p.oldest)
	}
}

func (p *pending[T]) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.values)
	p.oldest = 0
}

type valueReader[T any] struct {
	next    func() (T, bool)
	stop    func()
	pending *pending[T]
	lane    *localLane
	offset  int64
}

func (r *valueReader[T]) Read(ctx context.Context) (stage.Batch, error) {
	if err := ctx.Err(); err != nil {
		return stage.Batch{}, err
	}
	v, ok := r.next()
	if !ok {
		return stage.Batch{}, io.EOF
	}
	r.pending.put(r.offset, v)
	b := stage.Batch{Lane: r.lane, Records: []stage.Raw{{Topic: r.lane.name, Offset: r.offset}}}
	r.offset++
	return b, nil
}

func (r *valueReader[T]) Commit(_ context.Context, marks map[stage.Lane]stage.Mark) error {
	if m, ok := marks[r.lane]; ok {
		r.pending.forget(m.Offset)
	}
	return nil
}

func (r *valueReader[T]) Close(context.Context) error {
	r.stop()
	r.pending.reset()
	return nil
}

// localLane is the only lane of a source that nobody takes away.
type localLane struct {
	name    string
	revoked chan struct{}
}

func newLocalLane(name string) *localLane {
	return &localLane{name: name, revoked: make(chan struct{})}
}

func (l *localLane) ID() (string, int32)      { return l.name, 0 }
func (l *localLane) Revoked() <-chan struct{} { return l.revoked }
func (l *localLane) Release()                 {}
