package stagetest

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// Topic is the topic of all records of a [Source].
const Topic = "stagetest"

// Source is a topic and a consumer group in memory. The zero value is an empty
// topic that goes on for ever. It is safe for concurrent use, but by one stage
// at a time.
type Source[T any] struct {
	mu         sync.Mutex
	partitions map[int32]*partition[T]
	open       *reader[T]
	ended      bool
}

type partition[T any] struct {
	raws      []stage.Raw
	values    []T
	committed stage.Mark
	lane      *lane // nil: not assigned
	taken     bool  // revoked, and not given back
	paused    bool  // by the stage
	next      int64 // what the lane delivers next
}

// Push appends a record to a partition and returns its offset. A nil key is no
// key.
func (s *Source[T]) Push(partition int32, key []byte, value T) (offset int64) {
	return s.PushRecord(stage.Record[T]{Value: value, Raw: stage.Raw{Key: key, Partition: partition}})
}

// PushRecord is Push with headers and time.
func (s *Source[T]) PushRecord(r stage.Record[T]) (offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partition(r.Partition)
	r.Topic, r.Offset = Topic, int64(len(p.raws))
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	p.raws = append(p.raws, r.Raw)
	p.values = append(p.values, r.Value)
	s.wake()
	return r.Offset
}

// End makes the source end once all records are delivered.
func (s *Source[T]) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.wake()
}

// Revoke takes a partition away from the stage and returns when the stage has
// released it, or at once if it has none. Nothing more is delivered until
// [Source.Assign].
func (s *Source[T]) Revoke(partition int32) {
	s.mu.Lock()
	p := s.partition(partition)
	p.taken = true
	l := p.lane
	s.mu.Unlock()
	if l == nil {
		return
	}
	l.revoke()
	<-l.released
}

// Assign gives a revoked partition back; reading goes on at what was
// committed.
func (s *Source[T]) Assign(partition int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partition(partition).taken = false
	s.wake()
}

// Committed returns the committed offset of a partition, 0 if there is none.
func (s *Source[T]) Committed(partition int32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partition(partition).committed.Offset
}

// SetCommitted makes m what was committed last for a partition that is not
// assigned: as another run, or another program, has left it.
func (s *Source[T]) SetCommitted(partition int32, m stage.Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partition(partition).committed = m
}

// Mark returns all that was committed last for a partition.
func (s *Source[T]) Mark(partition int32) stage.Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partition(partition).committed
}

// Source is what the stage gets.
func (s *Source[T]) Source() stage.Source[T] {
	return stage.Source[T]{Open: s.start, Decode: s.decode, Cluster: s}
}

func (s *Source[T]) start(context.Context, stage.Env) (stage.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil {
		return nil, errors.New("stagetest: the source is in use by another stage")
	}
	s.open = &reader[T]{source: s, woken: make(chan struct{}, 1)}
	return s.open, nil
}

func (s *Source[T]) decode(r *stage.Raw) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partition(r.Partition).values[r.Offset], nil
}

func (s *Source[T]) partition(n int32) *partition[T] {
	if s.partitions == nil {
		s.partitions = make(map[int32]*partition[T])
	}
	p, ok := s.partitions[n]
	if !ok {
		p = &partition[T]{}
		s.partitions[n] = p
	}
	return p
}

func (s *Source[T]) wake() {
	if s.open == nil {
		return
	}
	select {
	case s.open.woken <- struct{}{}:
	default:
	}
}

type reader[T any] struct {
	source *Source[T]
	woken  chan struct{}
}

func (r *reader[T]) Read(ctx context.Context) (stage.Batch, error) {
	for {
		if b, ok, end := r.poll(); ok {
			return b, nil
		} else if end {
			return stage.Batch{}, io.EOF
		}
		select {
		case <-r.woken:
		case <-ctx.Done():
			return stage.Batch{}, ctx.Err()
		}
	}
}

// poll takes everything that waits in one partition, the lowest first.
func (r *reader[T]) poll() (b stage.Batch, ok, end bool) {
	s := r.source
	s.mu.Lock()
	defer s.mu.Unlock()
	end = s.ended
	for _, n := range slices.Sorted(maps.Keys(s.partitions)) {
		p := s.partitions[n]
		if p.taken {
			continue
		}
		if p.paused {
			end = end && int(p.next) == len(p.raws)
			continue
		}
		if p.lane == nil {
			p.next = p.committed.Offset
			if int(p.next) == len(p.raws) {
				continue // a lane begins with its first record
			}
			p.lane = &lane{partition: n, start: p.committed, revoked: make(chan struct{}), released: make(chan struct{})}
			p.lane.onRelease = func() { s.release(n) }
			p.lane.onPause = func(paused bool) { s.pause(n, paused) }
		}
		if int(p.next) < len(p.raws) {
			b := stage.Batch{Lane: p.lane, Records: append([]stage.Raw(nil), p.raws[p.next:]...)}
			p.next = int64(len(p.raws))
			return b, true, false
		}
	}
	return stage.Batch{}, false, end
}

func (s *Source[T]) release(n int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partitions[n].lane, s.partitions[n].paused = nil, false
}

func (s *Source[T]) pause(n int32, paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partitions[n].paused = paused
	s.wake()
}

func (r *reader[T]) Commit(_ context.Context, marks map[stage.Lane]stage.Mark) error {
	s := r.source
	s.mu.Lock()
	defer s.mu.Unlock()
	for l, m := range marks {
		_, n := l.ID()
		// A late mark must not reach the next tenure.
		if p := s.partitions[n]; p.lane == l && m.Offset >= p.committed.Offset {
			p.committed = m
		}
	}
	return nil
}

func (r *reader[T]) Close(context.Context) error {
	r.source.mu.Lock()
	defer r.source.mu.Unlock()
	r.source.open = nil
	return nil
}

type lane struct {
	partition int32
	start     stage.Mark
	revoked   chan struct{}
	released  chan struct{}
	onRelease func()
	onPause   func(bool)
	revokeOne sync.Once
	release   sync.Once
}

func (l *lane) ID() (string, int32)       { return Topic, l.partition }
func (l *lane) Revoked() <-chan struct{}  { return l.revoked }
func (l *lane) Start() stage.Mark         { return l.start }
func (l *lane) Released() <-chan struct{} { return l.released }
func (l *lane) Pause()                    { l.onPause(true) }
func (l *lane) Resume()                   { l.onPause(false) }
func (l *lane) revoke()                   { l.revokeOne.Do(func() { close(l.revoked) }) }

func (l *lane) Release() {
	l.release.Do(func() {
		l.onRelease()
		close(l.released)
	})
}
