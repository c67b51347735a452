package stage_test

import (
	"context"
	"io"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// deaf is a reader, and its only lane. It delivers whatever was under way when
// the lane was paused, and gives away parts of one slice.
type deaf struct {
	batches   [][]stage.Raw
	delivered atomic.Int64
	pauses    atomic.Int64
	committed stage.Mark
}

func (d *deaf) Read(context.Context) (stage.Batch, error) {
	n := int(d.delivered.Load())
	if n == len(d.batches) {
		return stage.Batch{}, io.EOF
	}
	d.delivered.Add(1)
	return stage.Batch{Lane: d, Records: d.batches[n]}, nil
}

func (d *deaf) Commit(_ context.Context, marks map[stage.Lane]stage.Mark) error {
	d.committed = marks[d]
	return nil
}

func (d *deaf) Close(context.Context) error { return nil }
func (d *deaf) ID() (string, int32)         { return "deaf", 0 }
func (d *deaf) Revoked() <-chan struct{}    { return nil }
func (d *deaf) Release()                    {}
func (d *deaf) Start() stage.Mark           { return stage.Mark{} }
func (d *deaf) Pause()                      { d.pauses.Add(1) }
func (d *deaf) Resume()                     {}

// TestBatchesUnderWayWhenALaneIsPaused are kept, in their order.
func TestBatchesUnderWayWhenALaneIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stuck, size = 2_000, 4_096
		order := []int{0, 1, 2, 3, 4, 5, 7, 6} // of the batches in memory
		memory := make([]stage.Raw, size*len(order))
		d := &deaf{batches: make([][]stage.Raw, len(order))}
		for at, n := range order {
			d.batches[n] = memory[size*at : size*(at+1)]
			for i := range d.batches[n] {
				offset := size*n + i
				d.batches[n][i] = stage.Raw{Topic: "deaf", Offset: int64(offset), Value: strconv.AppendInt(nil, int64(offset), 10)}
			}
		}
		release := make(chan struct{})
		r := newRig(func(_ context.Context, s string) (string, error) {
			if n, _ := strconv.Atoi(s); n < stuck {
				<-release
			}
			return s, nil
		})
		r.stage.Workers, r.stage.MaxInFlight = stuck+8, 2*len(memory)
		r.stage.Source = stage.Source[string]{
			Open:   func(context.Context, stage.Env) (stage.Reader, error) { return d, nil },
			Decode: func(r *stage.Raw) (string, error) { return string(r.Value), nil },
		}
		done := make(chan error)
		go func() { done <- stage.Run(t.Context(), &r.stage) }()
		time.Sleep(time.Minute)
		if p, n, w := d.pauses.Load(), d.delivered.Load(), len(r.sink.Values()); p != 1 || n != 8 || w >= 6*size {
			t.Fatalf("%d pauses, %d batches delivered, %d records written; want one, 8, and the last two batches to be kept back", p, n, w)
		}
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		written := r.sink.Values()
		slices.Sort(written)
		if n := len(slices.Compact(written)); n != len(memory) || d.committed.Offset != int64(len(memory)) {
			t.Errorf("%d records written, committed %+v; want %d", n, d.committed, len(memory))
		}
	})
}

// TestRevokeDropsParkedRecords: they are not begun when the lane gets room.
func TestRevokeDropsParkedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stuck, all = 2_000, 30_000
		var calls atomic.Int64
		release := make(chan struct{})
		r := newRig(func(_ context.Context, s string) (string, error) {
			if calls.Add(1); s == "stuck" {
				<-release
			}
			return s, nil
		})
		r.stage.Workers, r.stage.MaxInFlight, r.stage.DrainTimeout = stuck+8, 2*all, time.Hour
		for range stuck {
			r.push("stuck")
		}
		for range all - stuck {
			r.push("free")
		}
		stop := r.start(t)
		time.Sleep(time.Second)
		begun := calls.Load()
		if begun <= stuck || begun >= all {
			t.Fatalf("%d records begun; want the partition to be held up", begun)
		}
		time.AfterFunc(time.Minute, func() { close(release) })
		r.src.Revoke(0)
		if n, c := calls.Load(), r.src.Committed(0); n != begun || c != begun {
			t.Errorf("%d records begun, %d committed; want %d, as before the revoke", n, c, begun)
		}
		r.src.Assign(0)
		time.Sleep(time.Minute)
		if n, c := calls.Load(), r.src.Committed(0); n != all || c != all {
			t.Errorf("%d records begun, %d committed; want %d", n, c, all)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
