package source_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// TestStartsAndStops at random moments, also before a member has joined or
// while it does: none hangs, and no record is lost or out of order.
func TestStartsAndStops(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	b := wide(t, "in", "out")
	before, _ := running()
	stopFlow := flow(t, b)
	for range 30 {
		var stops []func()
		for range 1 + rng.IntN(3) {
			stops = append(stops, start(t, member(b, quick)))
			time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		}
		for _, stop := range stops {
			stop()
		}
	}
	sent := stopFlow()
	stop := start(t, member(b, quick))
	got := b.Consume(t, "out", sent)
	stop()
	inOrderOnce(t, got, sent)
	nothingRuns(t, before)
}

// TestStopInAnOutage: nobody answers any more. The stage ends with an error,
// and nothing of it tries on behind.
func TestStopInAnOutage(t *testing.T) {
	before, _ := running()
	b := wide(t, "in", "out")
	for n := range 100 {
		b.Produce(t, "in", raw("k", strconv.Itoa(n)))
	}
	s := member(b, quick)
	s.DrainTimeout, s.Workers = 2*time.Second, 1
	var made atomic.Int64
	s.Transform = stage.Map(func(_ context.Context, v string) (string, error) {
		if made.Add(1) == 50 {
			b.Close()
		}
		return v, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- stage.Run(ctx, s) }()
	reach(t, &made, 100)
	cancel()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "nothing is lost, they are read again") {
		t.Errorf("%v", err)
	}
	nothingRuns(t, before)
}

// running counts the goroutines, but for one that sarama's metrics start once
// and keep.
func running() (n int, stacks string) {
	buf := make([]byte, 1<<20)
	stacks = string(buf[:runtime.Stack(buf, true)])
	return 1 + strings.Count(stacks, "\n\ngoroutine ") - strings.Count(stacks, "(*meterArbiter).tick("), stacks
}

// nothingRuns waits until there are no more goroutines than before.
func nothingRuns(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		n, stacks := running()
		if n <= before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, and %d before\n%s", n, before, stacks)
		}
	}
}
