package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/stage"
)

// once fails a test in which not every value is there exactly once.
func once(t *testing.T, got []string, want ...string) {
	t.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return
	}
	seen := make(map[string]int)
	for _, v := range got {
		seen[v]++
	}
	for _, v := range want {
		if seen[v] != 1 {
			t.Errorf("%q is there %d times", v, seen[v])
		}
		delete(seen, v)
	}
	for v, n := range seen {
		t.Errorf("%q is there %d times, and should not be", v, n)
	}
}

// keys gives n values of five keys.
func keys(n int) (values []string) {
	for i := range n {
		values = append(values, fmt.Sprintf("k%d:%d", i%5, i))
	}
	return values
}

// TestNotesGoBeforeTheRows: what is written was committed as a note before.
func TestNotesGoBeforeTheRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(_ context.Context, s string) (string, error) { return s, nil })
		var b notebook
		r.stage.Sink = b.sink()
		b.apply = func(int) (before, after error) {
			if m := r.src.Mark(0); strings.HasSuffix(m.Note, "|") {
				t.Errorf("rows are written and the last commit %+v does not note them", m)
			}
			return nil, nil
		}
		values := keys(300)
		r.push(values...)
		r.runToEnd(t)
		once(t, b.written(), values...)
		if m := r.src.Mark(0); m.Offset != 300 || m.Done != "" || !strings.HasSuffix(m.Note, "||") {
			t.Errorf("committed %+v; want all, and a note that has nothing more to say", m)
		}
		if b.ended != 1 {
			t.Errorf("the lane was ended %d times", b.ended)
		}
	})
}

// TestCommitAskedForIsSoon: rows do not wait for CommitInterval.
func TestCommitAskedForIsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(_ context.Context, s string) (string, error) { return s, nil })
		var b notebook
		r.stage.Sink, r.stage.CommitInterval = b.sink(), 24*time.Hour
		stop := r.start(t)
		begin := time.Now()
		for i := range 3 {
			r.push(fmt.Sprint("a:", i))
			synctest.Wait()
			if n := len(b.written()); n != i+1 || time.Since(begin) > time.Hour {
				t.Fatalf("%d of %d rows written after %v", n, i+1, time.Since(begin))
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestEachRowOnceWhateverDies runs a stage again and again, while commits
// and appends fail, before and after they took effect, runs are cut short, and
// records are skipped, given up or slow.
func TestEachRowOnceWhateverDies(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for _, order := range []stage.Order{stage.ByKey, stage.ByPartition, stage.Unordered} {
		t.Run(order.String(), func(t *testing.T) {
			t.Log("seed", seed)
			synctest.Test(t, func(t *testing.T) { testEachRowOnce(t, order, seed) })
		})
	}
}

func testEachRowOnce(t *testing.T, order stage.Order, seed uint64) {
	const n = 600
	var b notebook
	lost, refused := 0, 0
	r := newRig(func(ctx context.Context, s string) (string, error) {
		var k, i int
		if _, err := fmt.Sscanf(s, "k%d:%d", &k, &i); err != nil {
			return "", err
		}
		switch {
		case i%7 == 3:
			return "", stage.ErrSkip
		case i%11 == 5:
			return "", stage.Permanent(errors.New("bad"))
		case i%13 == 1:
			time.Sleep(time.Duration(i) * time.Millisecond)
		}
		return s, ctx.Err()
	})
	r.withDeadLetters()
	r.stage.Order, r.stage.DrainTimeout, r.stage.CommitInterval = order, time.Second, 100*time.Millisecond
	r.stage.Sink = sink.Tee(b.sink(), r.sink.Sink())
	r.sink.Latency = 300 * time.Millisecond // rows are there long before their records are done
	var want []string
	for i, v := range keys(n) {
		r.push(v)
		if i%7 != 3 && i%11 != 5 {
			want = append(want, v)
		}
	}
	appends := rand.New(rand.NewPCG(seed, 1))
	b.apply = func(int) (before, after error) {
		switch appends.IntN(4) {
		case 0:
			return errors.New("away"), nil
		case 1:
			lost++
			return nil, errors.New("the answer is lost")
		}
		return nil, nil
	}
	open := r.stage.Source.Open
	commits := rand.New(rand.NewPCG(seed, 2))
	var dead atomic.Bool
	some := func(_ context.Context, nth int64) error {
		if dead.Load() {
			return errors.New("dead")
		}
		if nth == 2 || commits.IntN(3) == 0 {
			refused++
			return errors.New("no commit")
		}
		return nil
	}
	rnd := rand.New(rand.NewPCG(seed, 3))
	redone := 0
	for run := range 8 {
		spy := r.spyOnReader()
		spy.commit = some
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- stage.Run(ctx, &r.stage) }()
		time.Sleep(time.Duration(rnd.IntN(500)) * time.Millisecond)
		if run == 0 || rnd.IntN(2) == 0 { // no way to commit at the end, as if it were killed
			dead.Store(true)
			at := r.src.Mark(0)
			time.Sleep(time.Second)
			if rows := b.written(); len(rows) > 0 && at == r.src.Mark(0) {
				redone++
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Log(err) // what is left
		}
		dead.Store(false)
		r.stage.Source.Open = open
	}
	b.apply = nil
	r.runToEnd(t)
	once(t, b.written(), want...)
	if m := r.src.Mark(0); m.Offset != n {
		t.Errorf("committed %+v", m)
	}
	if lost == 0 || redone == 0 || refused == 0 {
		t.Errorf("%d answers lost, %d runs killed behind a write, %d commits refused: the faults did not happen", lost, redone, refused)
	}
}

// TestNotesOfATenureThatWasTakenAway: the next one begins with them.
func TestNotesOfATenureThatWasTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(_ context.Context, s string) (string, error) { return s, nil })
		var b notebook
		r.stage.Sink = b.sink()
		values := keys(500)
		r.push(values...)
		stop := r.start(t)
		for range 3 {
			time.Sleep(time.Millisecond)
			r.src.Revoke(0)
			r.src.Assign(0)
			r.push("more:" + fmt.Sprint(b.ended))
			values = append(values, "more:"+fmt.Sprint(b.ended))
		}
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		once(t, b.written(), values...)
		if b.ended < 3 {
			t.Errorf("%d lanes ended", b.ended)
		}
	})
}

// plainLane keeps nothing above the low-water mark.
type plainLane struct{ stage.Lane }

func TestNotesNeedLanesThatKeepThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(_ context.Context, s string) (string, error) { return s, nil })
		var b notebook
		r.stage.Sink = b.sink()
		open := r.stage.Source.Open
		r.stage.Source.Open = func(ctx context.Context, env stage.Env) (stage.Reader, error) {
			in, err := open(ctx, env)
			return plainReader{in}, err
		}
		r.push("a:1")
		if err := stage.Run(t.Context(), &r.stage); err == nil || !strings.Contains(err.Error(), "take source.Kafka") {
			t.Errorf("got %v", err)
		}
	})
}

type plainReader struct{ stage.Reader }

func (r plainReader) Read(ctx context.Context) (stage.Batch, error) {
	b, err := r.Reader.Read(ctx)
	b.Lane = plainLane{b.Lane}
	return b, err
}

func TestOneSinkKeepsNotes(t *testing.T) {
	var a, b notebook
	r := newRig(func(_ context.Context, s string) (string, error) { return s, nil })
	r.stage.Sink = sink.Tee(a.sink(), b.sink())
	if err := stage.Run(t.Context(), &r.stage); err == nil || !strings.Contains(err.Error(), "room for one") {
		t.Errorf("got %v", err)
	}
}
