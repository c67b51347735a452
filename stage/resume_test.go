package stage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// TestRestartDoesOnlyWhatWasNotFinished: one record holds up the low-water
// mark, and is all that the next tenure does.
func TestRestartDoesOnlyWhatWasNotFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, stuck atomic.Int64
		r := newRig(func(ctx context.Context, s string) (string, error) {
			calls.Add(1)
			if s == "k2:2" && stuck.Add(1) == 1 {
				time.Sleep(15 * time.Second) // beyond its lane's end
			}
			return s, nil
		})
		var log bytes.Buffer
		r.stage.Logger = slog.New(slog.NewTextHandler(&log, nil))
		r.stage.DrainTimeout = time.Second
		for i := range 100 {
			r.push(fmt.Sprintf("k%d:%d", i, i))
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- stage.Run(ctx, &r.stage) }()
		time.Sleep(10 * time.Second)
		if m := r.src.Mark(0); m.Offset != 2 || m.Done == "" {
			t.Fatalf("committed %+v; want offset 2 and what is done above it", m)
		}
		r.src.Revoke(0)
		if calls.Load() != 100 {
			t.Fatalf("%d records were begun before the restart; want 100", calls.Load())
		}
		r.src.Assign(0)
		time.Sleep(10 * time.Second)
		if calls.Load() != 101 || stuck.Load() != 2 {
			t.Errorf("%d calls after the restart, %d of them of the record that was not finished; want 1 and 1", calls.Load()-100, stuck.Load()-1)
		}
		written := r.sink.Values()
		if slices.Sort(written); len(written) != 100 || len(slices.Compact(written)) != 100 {
			t.Errorf("%d records written", len(written))
		}
		if m := r.src.Mark(0); m.Offset != 100 || m.Done != "" {
			t.Errorf("committed %+v; want just offset 100", m)
		}
		if !strings.Contains(log.String(), "records=97") {
			t.Errorf("the log does not tell that 97 records were passed over:\n%s", &log)
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestShortTenureForgetsNothing: a tenure that ends before it came to what an
// earlier one had done leaves that to the next one all the same.
func TestShortTenureForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		stuck := map[string]bool{"a:0": true, "b:1": true}
		r := newRig(func(ctx context.Context, s string) (string, error) {
			calls.Add(1)
			if stuck[s] {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return s, nil
		})
		r.stage.DrainTimeout = time.Second
		r.push("a:0", "b:1", "c:2", "d:3", "e:4", "f:5")
		run := func() {
			stop := r.start(t)
			time.Sleep(5 * time.Second)
			if err := stop(); err == nil {
				t.Error("nothing was left undone, and should have been")
			}
		}
		run() // all but the two that are stuck
		stuck["a:0"] = false
		r.stage.MaxInFlight = 1 // the second tenure gets stuck at the second record
		run()
		if m := r.src.Mark(0); m.Offset != 1 || m.Done == "" {
			t.Fatalf("committed %+v; want offset 1 and what is done above it", m)
		}
		stuck["b:1"] = false
		calls.Store(0)
		r.runToEnd(t)
		if n := calls.Load(); n != 1 {
			t.Errorf("the third tenure did %d records, want the one that was not done", n)
		}
		if n := len(r.sink.Values()); n != 6 {
			t.Errorf("%d records written, want 6", n)
		}
	})
}

// TestForeignMetadataIsIgnored: another program has committed for the group,
// with a note of its own.
func TestForeignMetadataIsIgnored(t *testing.T) {
	for _, note := range []string{"host-7", "millrace1:r:2:gICA", "millrace1:b:1:_w"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(same)
			var log bytes.Buffer
			r.stage.Logger = slog.New(slog.NewTextHandler(&log, nil))
			r.push("a:1", "b:1", "a:2", "b:2")
			r.src.SetCommitted(0, stage.Mark{Offset: 2, Done: note})
			r.runToEnd(t)
			got := r.sink.Values()
			slices.Sort(got)
			if want := []string{"a:2", "b:2"}; !slices.Equal(got, want) {
				t.Errorf("%q: written %q, want %q", note, got, want)
			}
			if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "offset=2") {
				t.Errorf("%q: no warning that names the offset:\n%s", note, &log)
			}
		})
	}
}

// TestDoneMapThatIsFullHoldsTheLaneOnly: thousands of records are stuck, and
// what is done above them would not fit into a commit. The partition waits,
// others go on, and no commit is cut.
func TestDoneMapThatIsFullHoldsTheLaneOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all, stuck = 40_000, 2_000
		release := make(chan struct{})
		r := newRig(func(ctx context.Context, s string) (string, error) {
			if strings.HasSuffix(s, ":stuck") {
				<-release
			}
			return s, nil
		})
		r.stage.Workers = stuck + 8
		r.stage.MaxInFlight = all
		for i := range all {
			kind := "free"
			if i%2 == 0 && i/2 < stuck {
				kind = "stuck"
			}
			r.src.Push(0, fmt.Append(nil, i), fmt.Sprintf("%d:%s", i, kind))
		}
		done := make(chan error)
		go func() { done <- stage.Run(t.Context(), &r.stage) }()
		time.Sleep(10 * time.Second)
		n := len(r.sink.Values())
		if n < stuck || n >= all-stuck {
			t.Errorf("%d records written; want the partition to have been held up", n)
		}
		if m := r.src.Mark(0); m.Offset != 0 || m.Done == "" || len(m.Done) > 4095 {
			t.Errorf("committed offset %d and %d bytes", m.Offset, len(m.Done))
		}
		for i := range 10 {
			r.src.Push(1, fmt.Append(nil, i), fmt.Sprintf("%d:other", i))
		}
		time.Sleep(10 * time.Second)
		if got := len(r.sink.Values()); got != n+10 {
			t.Errorf("%d records of another partition written; want 10", got-n)
		}
		close(release)
		r.src.End()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		written := r.sink.Values()
		if slices.Sort(written); len(written) != all+10 || len(slices.Compact(written)) != all+10 {
			t.Errorf("%d records written, want %d", len(written), all+10)
		}
		if m := r.src.Mark(0); m.Offset != all || m.Done != "" {
			t.Errorf("committed %+v", m)
		}
	})
}

// TestParkedRecordsGoOnWhenAnotherLaneGoes: they have waited for the memory that
// its record took, and nothing else is in the stage to wake them.
func TestParkedRecordsGoOnWhenAnotherLaneGoes(t *testing.T) {
	t.Run("lost", func(t *testing.T) {
		parkedBehind(t, func() error { time.Sleep(time.Hour); return nil }) // beyond DrainTimeout
	})
	t.Run("dropped", func(t *testing.T) {
		parkedBehind(t, func() error { return stage.RetryAfter(errors.New("busy"), 3*time.Hour) })
	})
}

// parkedBehind parks records of one lane behind a large record of another one,
// of which nothing becomes.
func parkedBehind(t *testing.T, nothing func() error) {
	synctest.Test(t, func(t *testing.T) {
		const stuck, large = 2_000, 1 << 20
		var begun atomic.Int64
		release := make(chan struct{})
		r := newRig(func(_ context.Context, s string) (string, error) {
			switch s {
			case "large":
				begun.Add(1)
				return s, nothing()
			case "stuck":
				<-release
			}
			return s, nil
		})
		r.stage.Workers, r.stage.MaxInFlight = stuck+8, 40_000
		r.stage.MaxInFlightBytes, r.stage.DrainTimeout = 3*large/2, time.Minute
		big := make([]byte, large)
		push := func(partition int32, value string, size int) {
			r.src.PushRecord(stage.Record[string]{Value: value, Raw: stage.Raw{Partition: partition, Value: big[:size]}})
		}
		for range stuck {
			push(0, "stuck", 1)
		}
		for range 20_000 {
			push(0, "free", 1)
		}
		for range 5_000 {
			push(0, "free", large)
		}
		stop := r.start(t)
		time.Sleep(time.Second)
		if n := len(r.sink.Values()); n <= 20_000 || n >= 25_000 {
			t.Fatalf("%d records written; want the partition to be held up at its large ones", n)
		}
		push(1, "large", large)
		time.Sleep(time.Second)
		close(release)
		time.Sleep(time.Second)
		if n := len(r.sink.Values()); n >= 25_000+stuck || begun.Load() != 1 {
			t.Fatalf("%d records written; want the large ones to wait for room", n)
		}
		r.src.Revoke(1)
		time.Sleep(2 * time.Hour)
		if n, c := len(r.sink.Values()), r.src.Committed(0); n != 25_000+stuck || c != 25_000+stuck {
			t.Errorf("%d records written, %d committed, want %d", n, c, 25_000+stuck)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
