package reply

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// question is one on its way.
type question struct {
	id      string
	record  stage.Raw
	outcome chan outcome // of one
	written atomic.Bool
	holds   atomic.Int32 // the asker's and the writer's; room is made by the last
}

// outcome is what comes of a question.
type outcome struct {
	answer stage.Raw
	err    error
}

// waiting are the questions that wait, by their correlation ids.
type waiting struct {
	prefix string // of all ids, and of nobody else's

	mu     sync.Mutex
	byID   map[string]*question
	closed bool
	empty  chan struct{} // closed when that, and nothing will come
}

func newWaiting(prefix string) *waiting {
	return &waiting{prefix: prefix, byID: make(map[string]*question), empty: make(chan struct{})}
}

// add calls send under the lock, so that none is sent after close.
func (w *waiting) add(q *question, send func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	w.byID[q.id] = q
	send()
	return nil
}

// end gives a question its outcome, unless it has ended, or was never ours.
func (w *waiting) end(id string, o outcome) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.byID[id]
	if q == nil {
		return false
	}
	w.remove(id)
	q.outcome <- o
	return true
}

// giveUp ends a question without an outcome, unless it has one.
func (w *waiting) giveUp(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID[id] == nil {
		return false
	}
	w.remove(id)
	return true
}

// remove is for who holds the lock.
func (w *waiting) remove(id string) {
	delete(w.byID, id)
	if w.closed && len(w.byID) == 0 {
		close(w.empty)
	}
}

// close lets no more in, and calls stop under the lock. It returns false if it
// was called before.
func (w *waiting) close(stop func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.closed = true
	stop()
	if len(w.byID) == 0 {
		close(w.empty)
	}
	return true
}

// endAll ends all that wait, and returns how many.
func (w *waiting) endAll(err error) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.byID)
	for id, q := range w.byID {
		w.remove(id)
		q.outcome <- outcome{err: err}
	}
	return n
}

func (w *waiting) has(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byID[id] != nil
}

func (w *waiting) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.byID)
}

// kind is what a reply is that no question waits for.
type kind int

const (
	foreign kind = iota
	late
	unclaimed
)

// kindOf needs no memory of what has ended: the id says whose it was, and the
// deadline has travelled with it.
func (w *waiting) kindOf(id string, r *stage.Raw, now time.Time) kind {
	if !strings.HasPrefix(id, w.prefix) {
		return foreign
	}
	if deadline, ok := Deadline(r); ok && now.After(deadline) {
		return late
	}
	return unclaimed
}
