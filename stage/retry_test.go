package stage

import (
	"errors"
	"testing"
	"time"
)

func TestRetryPause(t *testing.T) {
	err := errors.New("not now")
	exact := Retry{Backoff: time.Second, MaxBackoff: 10 * time.Second, Jitter: NoJitter}.withDefaults()
	for _, c := range []struct {
		retry    Retry
		failures int
		err      error
		want     time.Duration
	}{
		{exact, 1, err, time.Second},
		{exact, 2, err, 2 * time.Second},
		{exact, 4, err, 8 * time.Second},
		{exact, 5, err, 10 * time.Second},
		{exact, 31, err, 10 * time.Second},
		{exact, 40, err, 10 * time.Second},
		{exact, 1 << 40, err, 10 * time.Second},
		{exact, 1, RetryAfter(err, time.Minute), time.Minute}, // MaxBackoff is ours, this is theirs
		{exact, 4, RetryAfter(err, time.Millisecond), 8 * time.Second},
		{Retry{Jitter: NoJitter}.withDefaults(), 1, err, 100 * time.Millisecond},
		{Retry{Jitter: NoJitter}.withDefaults(), 20, err, 10 * time.Second},
		{Retry{Jitter: NoJitter, Backoff: time.Minute}.withDefaults(), 9, err, time.Minute},
		{Retry{Jitter: NoJitter, Backoff: 1<<32 + 1}.withDefaults(), 33, err, 10 * time.Second},           // the shift would leave 4 s
		{Retry{Jitter: NoJitter, MaxBackoff: 1 << 62, Backoff: 1 << 40}.withDefaults(), 25, err, 1 << 62}, // the shift overflows
	} {
		if got := c.retry.pause(c.failures, c.err); got != c.want {
			t.Errorf("Backoff %v, MaxBackoff %v: %v after %d failures, the last %v; want %v",
				c.retry.Backoff, c.retry.MaxBackoff, got, c.failures, c.err, c.want)
		}
	}
}

// TestRetryJitter only shortens a pause, by its part at the most, and not
// always alike.
func TestRetryJitter(t *testing.T) {
	r := Retry{Backoff: time.Second}.withDefaults()
	seen := make(map[time.Duration]bool)
	for range 1000 {
		d := r.pause(1, errors.New("not now"))
		if d < 800*time.Millisecond || d > time.Second {
			t.Fatalf("%v is not from 800ms to 1s", d)
		}
		seen[d] = true
	}
	if len(seen) < 100 {
		t.Errorf("%d different pauses of 1000", len(seen))
	}
}

func TestRetrySpent(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		retry    Retry
		failures int
		since    time.Time
		want     bool
	}{
		{Retry{}, 9, now, false},
		{Retry{}, 10, now, true},
		{Retry{Attempts: 1}, 1, now, true},
		{Retry{Attempts: Forever}, 1 << 40, now.Add(-time.Hour), false},
		{Retry{Attempts: Forever, Total: time.Minute}, 1, now, false},
		{Retry{Attempts: Forever, Total: time.Minute}, 1, now.Add(-time.Minute), true},
		{Retry{Attempts: 3, Total: time.Hour}, 3, now, true},
	} {
		if got := c.retry.withDefaults().spent(c.failures, c.since); got != c.want {
			t.Errorf("%+v: spent is %v after %d failures in %v", c.retry, got, c.failures, now.Sub(c.since))
		}
	}
}

func TestLimiterLetsOneLineASecondThrough(t *testing.T) {
	start := time.Now()
	var l limiter
	for _, c := range []struct {
		at     time.Duration
		ok     bool
		missed int
	}{
		{0, true, 0},
		{time.Millisecond, false, 0},
		{999 * time.Millisecond, false, 0},
		{time.Second, true, 2},
		{1500 * time.Millisecond, false, 0},
		{time.Hour, true, 1},
		{2 * time.Hour, true, 0},
	} {
		if missed, ok := l.allow(start.Add(c.at)); ok != c.ok || missed != c.missed {
			t.Errorf("at %v: allowed %v, %d left out; want %v, %d", c.at, ok, missed, c.ok, c.missed)
		}
	}
}
