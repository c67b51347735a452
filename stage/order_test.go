package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// TestOrder runs random work with random failures. As long as all writes
// succeed, nothing is written twice and everything in order. Where writes
// fail, what followed in the same order is written again: then the last
// appearances are in order.
func TestOrder(t *testing.T) {
	for _, order := range []stage.Order{stage.ByKey, stage.ByPartition, stage.Unordered} {
		for _, batch := range []int{1, 7} {
			for _, refuse := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v batch %d refuse %v", order, batch, refuse), func(t *testing.T) {
					seed := rand.Uint64()
					t.Logf("seed %d", seed)
					synctest.Test(t, func(t *testing.T) { testOrder(t, order, batch, refuse, seed) })
				})
			}
		}
	}
}

func testOrder(t *testing.T, order stage.Order, batch int, refuse bool, seed uint64) {
	const records, keys = 2000, 17
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	random := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }

	var failures, refusals atomic.Int64
	r := newRig(func(_ context.Context, s string) (string, error) {
		time.Sleep(time.Duration(random(20)) * time.Millisecond)
		if random(10) == 0 {
			failures.Add(1)
			return "", errors.New("not now")
		}
		return s, nil
	})
	r.stage.Workers, r.stage.BatchSize, r.stage.Order = 16, batch, order
	r.stage.Retry = stage.Retry{Attempts: stage.Forever}
	r.sink.Latency = 3 * time.Millisecond
	r.sink.Refuse = func(stage.Record[string], int) error {
		if refuse && random(50) == 0 {
			refusals.Add(1)
			return errors.New("broker is gone")
		}
		return nil
	}
	for i := range records {
		k := fmt.Sprintf("k%d", random(keys))
		r.push(fmt.Sprintf("%s:%d", k, i))
	}
	r.runToEnd(t)

	written := r.sink.Values()
	slices.Reverse(written) // the first appearance from behind is the last one
	seen := make(map[string]bool)
	last := make(map[string]int)
	wrong := 0
	for _, v := range written {
		if seen[v] {
			continue
		}
		seen[v] = true
		k, num, _ := strings.Cut(v, ":")
		if order == stage.ByPartition {
			k = ""
		}
		n, err := strconv.Atoi(num)
		if err != nil {
			t.Fatal(err)
		}
		if l, ok := last[k]; ok && n > l {
			wrong++
		}
		last[k] = n
	}
	if len(seen) != records {
		t.Errorf("%d of %d records arrived", len(seen), records)
	}
	if wrong > 0 && order != stage.Unordered {
		t.Errorf("%d records out of order", wrong)
	}
	if wrong == 0 && order == stage.Unordered {
		t.Error("Unordered kept the order: this test could not see a wrong one")
	}
	if !refuse && len(written) != records {
		t.Errorf("%d written of %d, though no write failed", len(written), records)
	}
	if failures.Load() == 0 || refuse != (refusals.Load() > 0) {
		t.Errorf("%d failures and %d refused writes: not what was to be tested", failures.Load(), refusals.Load())
	}
	if c := r.src.Committed(0); c != records {
		t.Errorf("committed %d", c)
	}
}

func TestRetryHoldsUpOnlyItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		r := newRig(func(_ context.Context, s string) (string, error) {
			if s == "slow:1" {
				if tries++; tries < 4 {
					return "", errors.New("not yet")
				}
			}
			return s, nil
		})
		r.push("slow:1", "slow:2", "a:1", "b:1")
		r.runToEnd(t)
		got := r.sink.Values()
		slices.Sort(got[:2])
		if want := []string{"a:1", "b:1", "slow:1", "slow:2"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

func TestRetryAfterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		tries := 0
		r := newRig(func(_ context.Context, s string) (string, error) {
			if tries++; tries == 1 {
				return "", stage.RetryAfter(errors.New("busy"), time.Minute)
			}
			return s, nil
		})
		r.push("a:1")
		r.runToEnd(t)
		if d := time.Since(start); d < time.Minute || d > 2*time.Minute {
			t.Errorf("took %v", d)
		}
	})
}

// TestRecordsWithoutKeyRunSideBySide: none of them ends before all have begun.
func TestRecordsWithoutKeyRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int64
		all := make(chan struct{})
		r := newRig(func(ctx context.Context, s string) (string, error) {
			if begun.Add(1) == 3 {
				close(all)
			}
			select {
			case <-all:
				return s, nil
			case <-time.After(time.Minute):
				return "", stage.Permanent(errors.New("alone"))
			}
		})
		r.push("x", "y", "z")
		r.runToEnd(t)
		if n := len(r.sink.Values()); n != 3 {
			t.Errorf("%d written, want 3", n)
		}
	})
}

// TestOrderWhileKeysComeAndGo: few records are in flight at once, so keys are
// forgotten and met again all the time, and the way into Write is slow, so a
// later record of a key that is forgotten too early would overtake.
func TestOrderWhileKeysComeAndGo(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var mu sync.Mutex
		random := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
		ms := func(n int) { time.Sleep(time.Duration(random(n)) * time.Millisecond) }
		var failures atomic.Int64
		r := newRig(func(_ context.Context, s string) (string, error) {
			ms(20)
			if random(20) == 0 {
				failures.Add(1)
				return "", errors.New("not now")
			}
			return s, nil
		})
		r.stage.MaxInFlight = 12
		r.stage.Retry = stage.Retry{Attempts: stage.Forever, MaxBackoff: 200 * time.Millisecond}
		r.sink.Latency = 3 * time.Millisecond
		r.around(func(_ int64, write func()) { ms(5); write() })
		const records = 3000
		go func() {
			for i := range records {
				if random(10) == 0 {
					ms(30)
				}
				key := fmt.Append(nil, random(6))
				if key[0] == '0' {
					key = []byte{} // empty is a key, too
				}
				r.src.Push(0, key, fmt.Sprintf("%s:%d", key, i))
				if i%3 == 0 { // none is not the empty one
					r.src.Push(0, nil, fmt.Sprintf("none%d:0", i))
				}
			}
			r.src.End()
		}()
		if err := stage.Run(t.Context(), &r.stage); err != nil {
			t.Fatal(err)
		}
		written := r.sink.Values()
		if len(written) != records+records/3 || failures.Load() == 0 {
			t.Fatalf("%d written of %d, %d failures", len(written), records+records/3, failures.Load())
		}
		last := make(map[string]int)
		for _, v := range written {
			k, num, _ := strings.Cut(v, ":")
			n, err := strconv.Atoi(num)
			if err != nil {
				t.Fatal(err)
			}
			if l, ok := last[k]; ok && n < l {
				t.Fatalf("%s after %s:%d", v, k, l)
			}
			last[k] = n
		}
	})
}
