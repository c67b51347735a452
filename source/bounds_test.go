package source_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// counter counts the records that sarama hands out.
type counter struct{ n atomic.Int64 }

func (c *counter) OnConsume(*sarama.ConsumerMessage) { c.n.Add(1) }

// TestMemoryIsFlatUnderASlowTransform: it takes far longer than the records
// take to come. What is held at once is bounded all the same, and so is the
// heap.
func TestMemoryIsFlatUnderASlowTransform(t *testing.T) {
	const (
		records = 40_000 // of 1 KiB
		enough  = 4_000  // of them, and the stage is stopped
		// A long queue of 4 MiB and a fetch or two of 1 MiB: about 6000, and
		// some to spare.
		atOnce = 9_000
		heap   = 20 << 20
	)
	b := kafkatest.Start(t, "in", "out")
	recs := make([]stage.Raw, 1000)
	for i := range recs {
		recs[i] = raw("k", strings.Repeat("x", 1024))
	}
	for range records / len(recs) {
		b.Produce(t, "in", recs...)
	}
	heapNow := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heapNow()

	var fetched counter
	var done, mostHeld, mostHeap int64 // one worker
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := member(b, func(c *sarama.Config) { c.Consumer.Interceptors = []sarama.ConsumerInterceptor{&fetched} })
	s.Workers, s.MaxInFlight, s.MaxInFlightBytes = 1, 64, 1<<20
	s.Transform = stage.Map(func(context.Context, string) (string, error) {
		time.Sleep(100 * time.Microsecond)
		mostHeld = max(mostHeld, fetched.n.Load()-done)
		if done%1000 == 0 {
			mostHeap = max(mostHeap, heapNow()-before)
		}
		if done++; done == enough {
			cancel()
		}
		return "", stage.ErrSkip
	})
	if err := stage.Run(ctx, s); err != nil {
		t.Fatal(err)
	}
	t.Logf("at most %d records and %d KiB at once", mostHeld, mostHeap>>10)
	if mostHeld < 1000 {
		t.Errorf("never more than %d records at once: the transform was not too slow", mostHeld)
	}
	if mostHeld > atOnce {
		t.Errorf("%d records at once, want at most %d", mostHeld, atOnce)
	}
	if mostHeap > heap {
		t.Errorf("the heap has grown by %d MiB, want at most %d", mostHeap>>20, heap>>20)
	}
}
