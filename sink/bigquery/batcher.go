package bigquery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// row is a row to be written, and who wants to hear of it.
type row struct {
	stage.Raw
	nth  int // of those that were made from one record
	done func(error)
}

// errClosed is what becomes of rows that come too late.
var errClosed = errors.New("bigquery: the sink is closed")

// batcher collects the rows of many calls of Write, and gives them to send,
// one batch at a time.
type batcher struct {
	rows, bytes int // of a batch, at the most
	linger      time.Duration
	// send writes a batch, and calls done for each of its rows.
	send func(ctx context.Context, batch []row)

	cancel context.CancelFunc
	ended  chan struct{}
	news   chan struct{}

	mu     sync.Mutex
	queue  []row
	size   int       // of those, in bytes
	since  time.Time // when the first of them came
	closed bool
}

// start begins to send; the end of ctx does not reach that, but Close does.
func (b *batcher) start(ctx context.Context) *batcher {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.cancel, b.ended, b.news = cancel, make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(b.ended)
		for {
			batch := b.next(ctx)
			if len(batch) == 0 {
				return
			}
			b.send(ctx, batch)
		}
	}()
	return b
}

// Write queues rows. One that is larger than a batch is refused.
func (b *batcher) Write(recs []stage.Raw, done func(i int, err error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	nth := 0
	for i, r := range recs {
		if nth++; i == 0 || !sameRecord(r, recs[i-1]) {
			nth = 0
		}
		switch {
		case b.closed:
			done(i, errClosed)
			continue
		case len(r.Value) > b.bytes:
			done(i, stage.Permanent(fmt.Errorf("bigquery: a row of %d bytes; the most is %d", len(r.Value), b.bytes)))
			continue
		}
		if len(b.queue) == 0 {
			b.since = time.Now()
		}
		b.queue = append(b.queue, row{r, nth, func(err error) { done(i, err) }})
		b.size += len(r.Value)
	}
	b.wake()
}

// sameRecord reports whether two rows were made from the same record.
func sameRecord(a, b stage.Raw) bool {
	return a.Offset == b.Offset && a.Partition == b.Partition && a.Topic == b.Topic
}

func (b *batcher) wake() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// next waits for a batch. It is empty at the end.
func (b *batcher) next(ctx context.Context) []row {
	for {
		batch, wait := b.cut()
		if len(batch) > 0 || wait < 0 {
			return batch
		}
		var late <-chan time.Time
		if wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-b.news:
		case <-late:
		case <-ctx.Done():
			return b.rest()
		}
	}
}

// cut takes a batch, if one is full or has waited long enough; otherwise it
// says how long to wait, 0 for as long as it takes, or below 0 that there
// will be none.
func (b *batcher) cut() (batch []row, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		if b.closed {
			return nil, -1
		}
		return nil, 0
	}
	if full := b.size >= b.bytes || len(b.queue) >= b.rows; !full && !b.closed {
		if left := time.Until(b.since.Add(b.linger)); left > 0 {
			return nil, left
		}
	}
	n, size := 0, 0
	for n < len(b.queue) && n < b.rows && (n == 0 || size+len(b.queue[n].Value) <= b.bytes) {
		size += len(b.queue[n].Value)
		n++
	}
	batch, b.queue = b.queue[:n:n], b.queue[n:]
	b.size -= size
	return batch, 0
}

// rest gives up on what waits.
func (b *batcher) rest() []row {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, r := range b.queue {
		r.done(errClosed)
	}
	b.queue = nil
	return nil
}

// Close writes what waits, until ctx ends.
func (b *batcher) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.wake()
	defer b.cancel()
	select {
	case <-b.ended:
		return nil
	case <-ctx.Done():
		b.cancel()
		<-b.ended // send returns when its context ends
		return fmt.Errorf("bigquery: rows were not written in time: %w", ctx.Err())
	}
}
