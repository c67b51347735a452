package stage

import (
	"sync"
	"time"
)

// limiter lets one line a second through. The zero value is ready.
type limiter struct {
	mu     sync.Mutex
	next   time.Time
	missed int
}

// allow reports whether a line may be written now, and how many were left out
// since the last one.
func (l *limiter) allow(now time.Time) (missed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.next) {
		l.missed++
		return 0, false
	}
	missed, l.missed = l.missed, 0
	l.next = now.Add(time.Second)
	return missed, true
}
