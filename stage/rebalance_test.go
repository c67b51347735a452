package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// TestOrderThroughRebalances takes partitions away and gives them back, and
// stops the stage and runs it again, all the while records fail, are tried
// again and given up. Since every tenure is given the time to finish what it
// has begun, each record has its result or its dead letter once, and the
// results of a key, as its dead letters, are in order.
func TestOrderThroughRebalances(t *testing.T) {
	for _, order := range []stage.Order{stage.ByKey, stage.ByPartition} {
		for _, batch := range []int{1, 5} {
			t.Run(fmt.Sprintf("%v batch %d", order, batch), func(t *testing.T) {
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				synctest.Test(t, func(t *testing.T) { testRebalances(t, order, batch, seed) })
			})
		}
	}
}

func testRebalances(t *testing.T, order stage.Order, batch int, seed uint64) {
	const records, keys, partitions = 3000, 5, 3
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	random := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
	ms := func(n int) { time.Sleep(time.Duration(random(n)) * time.Millisecond) }

	var failures atomic.Int64
	r := newRig(func(_ context.Context, s string) (string, error) {
		ms(10)
		switch random(20) {
		case 0, 1:
			failures.Add(1)
			return "", errors.New("not now")
		case 2:
			return "", stage.Permanent(errors.New("never"))
		}
		return s, nil
	}).withDeadLetters()
	r.stage.Workers, r.stage.BatchSize, r.stage.Order = 8, batch, order
	r.stage.Retry = stage.Retry{Attempts: stage.Forever, MaxBackoff: 300 * time.Millisecond}
	r.stage.MaxInFlight = 40 // so that there is always something left to read
	r.sink.Latency, r.dead.Latency = 3*time.Millisecond, 5*time.Millisecond

	for i := range records {
		p := int32(random(partitions))
		key := fmt.Sprintf("p%dk%d", p, random(keys))
		value := fmt.Sprintf("%s:%d", key, i)
		// Value is for the dead letters, which have no typed one.
		r.src.PushRecord(stage.Record[string]{Value: value, Raw: stage.Raw{Key: []byte(key), Value: []byte(value), Partition: p}})
	}

	revokes, left := 0, 0 // left: revokes that found records undone
	for done := false; !done; {
		stop := r.start(t)
		for range 5 {
			ms(300)
			p := int32(random(partitions))
			r.src.Revoke(p)
			revokes++
			if m := r.src.Mark(p); m.Done != "" {
				left++
			}
			ms(50)
			r.src.Assign(p)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		done = len(r.sink.Written())+len(r.dead.Written()) >= records
	}

	seen := make(map[int]bool)
	inOrder := func(values []string) {
		last := make(map[string]int)
		for _, v := range values {
			k, num, _ := strings.Cut(v, ":")
			if order == stage.ByPartition {
				k = k[:2]
			}
			n, err := strconv.Atoi(num)
			if err != nil {
				t.Fatal(err)
			}
			if seen[n] {
				t.Fatalf("%s was written twice", v)
			}
			if l, ok := last[k]; ok && n < l {
				t.Fatalf("%s was written after number %d", v, l)
			}
			seen[n], last[k] = true, n
		}
	}
	inOrder(r.sink.Values())
	var dead []string
	for _, d := range r.dead.Values() {
		dead = append(dead, string(d.Record.Value))
	}
	inOrder(dead)
	if len(seen) != records {
		t.Errorf("%d of %d records have a result or a dead letter", len(seen), records)
	}
	if failures.Load() == 0 || len(dead) == 0 || revokes < 10 || (order == stage.ByKey && left == 0) {
		t.Errorf("%d failures, %d dead letters, %d revokes, %d of them with records undone: not what was to be tested", failures.Load(), len(dead), revokes, left)
	}
}
