package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

// fakeLane is a lane of nothing.
type fakeLane struct {
	revoked  chan struct{}
	released atomic.Int64
}

func newFakeLane() *fakeLane                 { return &fakeLane{revoked: make(chan struct{})} }
func (l *fakeLane) ID() (string, int32)      { return "fake", 0 }
func (l *fakeLane) Revoked() <-chan struct{} { return l.revoked }
func (l *fakeLane) Release()                 { l.released.Add(1) }

// fakeReader delivers what it is sent.
type fakeReader chan Batch

func (r fakeReader) Read(ctx context.Context) (Batch, error) {
	select {
	case b, ok := <-r:
		if !ok {
			return Batch{}, io.EOF
		}
		return b, nil
	case <-ctx.Done():
		return Batch{}, ctx.Err()
	}
}

func (fakeReader) Commit(context.Context, map[Lane]Mark) error { return nil }
func (fakeReader) Close(context.Context) error                 { return nil }

// fakeWriter acknowledges a record by what it returns for it.
type fakeWriter func() error

func (w fakeWriter) Write(recs []Raw, done func(int, error)) {
	go func() {
		time.Sleep(time.Millisecond)
		for i := range recs {
			done(i, w())
		}
	}()
}

func (fakeWriter) Close(context.Context) error { return nil }

func newTestEngine(change func(*Stage[string, string])) *engine {
	s := &Stage[string, string]{Name: "test", Workers: 4, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(s)
	}
	e := newEngine(s.settings(1))
	e.halt = func() {}
	return e
}

// start runs the engine; what it returns stops it.
func (e *engine) start(t *testing.T, r fakeReader, w fakeWriter) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- e.run(ctx, func(context.Context, Env) (Reader, error) { return r, nil },
			[]Target{{Open: func(context.Context, Env) (Writer, error) { return w, nil }}})
	}()
	return func() error { cancel(); return <-done }
}

// empty reports what the engine still keeps of records, though all are done.
func (e *engine) empty() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	kept := func(n int, what string) {
		if n != 0 {
			errs = append(errs, fmt.Errorf("%d %s are kept", n, what))
		}
	}
	for _, t := range e.tenures {
		kept(t.strands.n, "strands")
		kept(len(t.paused), "paused strands")
		kept(len(t.parked), "parked records")
		kept(t.inFlight, "records of a tenure in flight")
		kept(t.line.tasks.n, "tasks in line")
	}
	kept(e.inFlight, "records in flight")
	kept(e.takeable, "takeable records")
	kept(e.ready.n, "ready strands")
	kept(len(e.again), "strands to rewrite")
	kept(len(e.parked), "parked tenures")
	kept(len(e.timers), "timers")
	return errors.Join(errs...)
}

// TestNothingIsKeptOfWhatIsDone: after many tenures, each with keys of its
// own, failures, refused writes, and an end in the middle of it.
func TestNothingIsKeptOfWhatIsDone(t *testing.T) {
	for _, order := range []Order{ByKey, ByPartition, Unordered} {
		t.Run(order.String(), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			synctest.Test(t, func(t *testing.T) { testNothingIsKept(t, order, seed) })
		})
	}
}

func testNothingIsKept(t *testing.T, order Order, seed uint64) {
	const tenures, batches, records = 60, 4, 25
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	random := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
	var done, failures, refused atomic.Int64
	e := newTestEngine(func(s *Stage[string, string]) {
		s.Order, s.BatchSize, s.MaxInFlight = order, 3, 40
		s.Retry, s.DrainTimeout = Retry{Attempts: Forever, MaxBackoff: 200 * time.Millisecond}, 30*time.Millisecond
	})
	e.process = func(_ context.Context, recs []*Raw, _ []outcome) []outcome {
		time.Sleep(time.Duration(random(5)) * time.Millisecond)
		results := make([]outcome, len(recs))
		for i, r := range recs {
			switch random(12) {
			case 0:
				failures.Add(1)
				results[i] = outcome{err: errors.New("not now"), step: StepTransform, batch: 1}
			case 1:
				failures.Add(1)
				results[i] = outcome{err: errors.New("one of these"), step: StepTransform, batch: len(recs)}
			case 2:
				results[i] = outcome{err: ErrSkip, batch: 1}
			default:
				results[i] = outcome{out: []Raw{*r, *r}}
			}
		}
		return results
	}
	in := make(fakeReader)
	stop := e.start(t, in, func() error {
		if random(30) == 0 {
			refused.Add(1)
			return errors.New("no leader")
		}
		done.Add(1)
		return nil
	})

	var last *fakeLane
	for n := range tenures {
		last = newFakeLane()
		for b := range batches {
			batch := Batch{Lane: last}
			for i := range records {
				r := Raw{Offset: int64(b*records + i)}
				if random(5) > 0 {
					r.Key = fmt.Append(nil, n, "-", random(40))
				}
				batch.Records = append(batch.Records, r)
			}
			in <- batch
		}
		if n == tenures-1 {
			break // this one stays
		}
		close(last.revoked)
		time.Sleep(time.Duration(random(100)) * time.Millisecond)
	}
	time.Sleep(time.Hour)

	if err := e.empty(); err != nil {
		t.Error(err)
	}
	e.mu.Lock()
	if _, ok := e.tenures[last]; !ok || len(e.tenures) != 1 {
		t.Errorf("%d tenures are kept, want the one that is not over", len(e.tenures))
	} else if n := e.tenures[last].tracker.Pending(); n != 0 {
		t.Errorf("%d records of the last tenure are not done", n)
	}
	e.mu.Unlock()
	if done.Load() == 0 || failures.Load() == 0 || refused.Load() == 0 || done.Load() >= 2*tenures*batches*records {
		t.Errorf("%d written, %d failures, %d refused: not what was to be tested", done.Load(), failures.Load(), refused.Load())
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestStuckRecordKeepsNoBatchInMemory: of each batch that was read one record
// waits to be tried again, the other is done, and its bytes are free.
func TestStuckRecordKeepsNoBatchInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const batches = 100
		e := newTestEngine(nil)
		e.process = func(_ context.Context, recs []*Raw, _ []outcome) []outcome {
			if recs[0].Key == nil {
				return []outcome{{err: RetryAfter(errors.New("stuck"), time.Hour), batch: 1}}
			}
			return []outcome{{}} // done, and nothing to write
		}
		in := make(fakeReader)
		stop := e.start(t, in, nil)
		var values []weak.Pointer[byte]
		l := newFakeLane()
		for i := range int64(batches) {
			recs := []Raw{{Offset: 2 * i}, {Offset: 2*i + 1, Key: []byte("k"), Value: make([]byte, 10_000)}}
			values = append(values, weak.Make(&recs[1].Value[0]))
			in <- Batch{Lane: l, Records: recs}
			synctest.Wait()
		}
		runtime.GC()
		live := 0
		for _, v := range values {
			if v.Value() != nil {
				live++
			}
		}
		// What the stage had in hand last may still be in reach.
		if live > batches/4 || e.inFlight != batches {
			t.Errorf("the bytes of %d of %d records that are done are kept; %d records are stuck, want %d", live, batches, e.inFlight, batches)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLaneThatWasRevokedBeforeItsFirstRecord is given back and not begun.
func TestLaneThatWasRevokedBeforeItsFirstRecord(t *testing.T) {
	e := newTestEngine(nil)
	l := newFakeLane()
	close(l.revoked)
	e.admit(t.Context(), Batch{Lane: l, Records: []Raw{{}, {Offset: 1}}})
	if len(e.tenures) != 0 || l.released.Load() != 1 {
		t.Errorf("%d tenures, released %d times; want none and once", len(e.tenures), l.released.Load())
	}
	if err := e.empty(); err != nil {
		t.Error(err)
	}
}

// TestRevokeTakesNothingOfOtherLanes: what waits of the lane is dropped, and
// no worker is told that there is more than the rest.
func TestRevokeTakesNothingOfOtherLanes(t *testing.T) {
	e := newTestEngine(nil)
	one, other := newFakeLane(), newFakeLane()
	for _, l := range []Lane{one, other} {
		e.admit(t.Context(), Batch{Lane: l, Records: []Raw{
			{Key: []byte("a")}, {Key: []byte("a"), Offset: 1}, {Key: []byte("b"), Offset: 2}, {Offset: 3}, {Offset: 4},
		}})
	}
	defer func() { close(e.ended); e.watch.Wait() }()
	if e.takeable != 10 || e.inFlight != 10 || e.ready.n != 8 {
		t.Fatalf("%d takeable, %d in flight, %d strands ready; want 10, 10 and 8", e.takeable, e.inFlight, e.ready.n)
	}
	e.mu.Lock()
	e.dropWaiting(e.tenures[one])
	e.mu.Unlock()
	if e.takeable != 5 || e.inFlight != 5 || e.ready.n != 4 || e.tenures[one].strands.n != 0 {
		t.Errorf("%d takeable, %d in flight, %d strands ready, %d of the lane; want 5, 5, 4 and 0",
			e.takeable, e.inFlight, e.ready.n, e.tenures[one].strands.n)
	}
	e.mu.Lock()
	e.dropWaiting(e.tenures[other])
	e.mu.Unlock()
	if err := e.empty(); err != nil {
		t.Error(err)
	}
}

// TestNothingIsAdmittedAfterAFailure: nobody would drop it any more, and
// nobody may do it.
func TestNothingIsAdmittedAfterAFailure(t *testing.T) {
	e := newTestEngine(nil)
	e.fail(errors.New("broken"))
	e.admit(t.Context(), Batch{Lane: newFakeLane(), Records: []Raw{{}}})
	close(e.ended)
	e.watch.Wait()
	if err := e.empty(); err != nil {
		t.Error(err)
	}
}
