package stage

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Retry says how often and how soon a failed record is tried again. The zero
// value tries ten times over about half a minute.
type Retry struct {
	// Attempts is how often a record is tried in all. Zero means 10, 1 means
	// never again, [Forever] means without end.
	Attempts int
	// Total bounds the time from a record's first failure: after that it is
	// not tried again. Zero means no such bound.
	Total time.Duration
	// Backoff is the pause before the second attempt; it doubles each time.
	// Zero means 100 ms.
	Backoff time.Duration
	// MaxBackoff bounds the pause. Zero means 10 s.
	MaxBackoff time.Duration
	// Jitter is the part of a pause that is random, from 0 to 1, so that
	// records which failed together do not come back together. Zero means
	// 0.2, [NoJitter] none.
	Jitter float64
}

// Values that turn a default of [Retry] off.
const (
	Forever  = -1
	NoJitter = -1
)

func (r Retry) withDefaults() Retry {
	if r.Attempts == 0 {
		r.Attempts = 10
	}
	if r.Backoff == 0 {
		r.Backoff = 100 * time.Millisecond
	}
	if r.MaxBackoff == 0 {
		r.MaxBackoff = max(10*time.Second, r.Backoff)
	}
	switch r.Jitter {
	case 0:
		r.Jitter = 0.2
	case NoJitter:
		r.Jitter = 0
	}
	return r
}

func (r Retry) validate() error {
	var errs []error
	if r.Attempts < Forever {
		errs = append(errs, errors.New("Retry.Attempts: below -1; use 0 for the default or stage.Forever"))
	}
	if r.Total < 0 {
		errs = append(errs, errors.New("Retry.Total: negative"))
	}
	if r.Backoff < 0 || r.MaxBackoff < 0 {
		errs = append(errs, errors.New("Retry.Backoff, Retry.MaxBackoff: must not be negative"))
	}
	if r.MaxBackoff > 0 && r.MaxBackoff < r.Backoff {
		errs = append(errs, errors.New("Retry.MaxBackoff: below Retry.Backoff"))
	}
	if r.Jitter != NoJitter && (r.Jitter < 0 || r.Jitter > 1) {
		errs = append(errs, errors.New("Retry.Jitter: not from 0 to 1; stage.NoJitter turns it off"))
	}
	return errors.Join(errs...)
}

// spent reports whether a record that failed so often, the first time at
// since, is not tried again.
func (r Retry) spent(failures int, since time.Time) bool {
	return r.Attempts != Forever && failures >= r.Attempts || r.Total > 0 && time.Since(since) >= r.Total
}

// pause is how long to wait after the given number of failures, the last of
// them err.
func (r Retry) pause(failures int, err error) time.Duration {
	d := r.MaxBackoff
	if shift := failures - 1; shift < 32 && r.Backoff<<shift < d && r.Backoff<<shift > 0 {
		d = r.Backoff << shift
	}
	d -= time.Duration(rand.Float64() * r.Jitter * float64(d))
	if later, ok := errors.AsType[*retryAfterError](err); ok {
		d = max(d, later.after)
	}
	return d
}
