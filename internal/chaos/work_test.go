//go:build !race

package chaos_test

import (
	"context"
	"errors"
	"sync"
	"time"
)

// work is what the members do with a record, and what they have done.
type work struct {
	mu    sync.Mutex
	calls int
	made  map[string]int // how often a value's transform went well
}

// do takes its time, and fails now and then.
func (w *work) do(_ context.Context, v string) (string, error) {
	w.mu.Lock()
	w.calls++
	n := w.calls
	w.made[v] += 0
	w.mu.Unlock()
	time.Sleep(time.Duration(n%4) * time.Millisecond)
	if n%200 == 0 {
		return "", errors.New("not this time")
	}
	w.mu.Lock()
	w.made[v]++
	w.mu.Unlock()
	return v, nil
}

// begun is how many records have met a transform.
func (w *work) begun() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.made)
}

// rewritten is how often a value came out without having been made for it.
func (w *work) rewritten(times map[string]int) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for v, t := range times {
		n += max(0, t-w.made[v])
	}
	return n
}
