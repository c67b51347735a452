package stage_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// logTo makes a stage log into what it returns. Read it when nothing runs.
func logTo(s *stage.Stage[string, string]) *bytes.Buffer {
	var text bytes.Buffer
	s.Logger = slog.New(slog.NewTextHandler(&text, nil))
	return &text
}

// linesWith are the lines of a log that have all of these in them.
func linesWith(text *bytes.Buffer, parts ...string) (lines []string) {
	for line := range strings.Lines(text.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestStuckCallIsReported by topic, partition and offset, after a minute and
// whenever that has doubled. The stage goes on.
func TestStuckCallIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(_ context.Context, s string) (string, error) {
			if s == "b:1" {
				time.Sleep(5 * time.Minute)
			}
			return s, nil
		})
		log := logTo(&r.stage)
		r.push("a:1", "b:1", "c:1", "b:2")
		r.runToEnd(t)
		if got := r.sink.Values(); len(got) != 4 {
			t.Errorf("written %q", got)
		}
		stuck := linesWith(log, "a call of the transform does not return", "topic=stagetest partition=0 offset=1 ", "records=1")
		if len(stuck) != 3 || !strings.Contains(stuck[0], "for=1m0s") || !strings.Contains(stuck[1], "for=2m0s") || !strings.Contains(stuck[2], "for=4m0s") {
			t.Errorf("warnings %q", stuck)
		}
		if all := linesWith(log, "WARN"); len(all) != len(stuck) {
			t.Errorf("other warnings %q", all)
		}
	})
}

// TestWriteThatHangsIsNoCall: the transform is over, and by the end of the Write
// the record is, too.
func TestWriteThatHangsIsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		r.stage.StallTimeout = time.Minute
		r.around(func(_ int64, write func()) { write(); time.Sleep(time.Hour) })
		log := logTo(&r.stage)
		r.push("a:1")
		r.runToEnd(t)
		if got := linesWith(log, "WARN"); len(got) != 0 {
			t.Errorf("warnings %q", got)
		}
	})
}

// TestStuckCallStopsTheStage, although it does not heed its context: the stage
// names the record, finishes the others, and lets the partition go.
func TestStuckCallStopsTheStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		r := newRig(func(_ context.Context, s string) (string, error) {
			if s == "b:1" {
				<-release
			}
			return s, nil
		})
		r.stage.StallTimeout = 10 * time.Second
		r.stage.DrainTimeout = 5 * time.Second
		r.push("a:1", "b:1", "c:1")
		begun := time.Now()
		err := stage.Run(t.Context(), &r.stage)
		stall, ok := errors.AsType[*stage.StallError](err)
		if !ok || stall.Stage != "test" || stall.Topic != "stagetest" || stall.Partition != 0 || stall.Offset != 1 || stall.Records != 1 || stall.For < 10*time.Second {
			t.Fatalf("error %v", err)
		}
		if took := time.Since(begun); took < 10*time.Second || took > 11*time.Second+2*r.stage.DrainTimeout {
			t.Errorf("it took %v", took)
		}
		if got := slices.Sorted(slices.Values(r.sink.Values())); !slices.Equal(got, []string{"a:1", "c:1"}) {
			t.Errorf("written %q", got)
		}
		// The next run gets the record, and passes over what is done.
		next := r.stage // the call that hangs still has the other one
		next.Transform = stage.Map(same)
		r.src.End()
		if err := stage.Run(t.Context(), &next); err != nil {
			t.Fatal(err)
		}
		if got := r.sink.Values(); len(got) != 3 || got[2] != "b:1" {
			t.Errorf("written %q", got)
		}
	})
}

// TestSlowIsNotStuck: calls that are nearly as slow as StallTimeout follow each
// other, of different records and of the same one.
func TestSlowIsNotStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		r := newRig(func(_ context.Context, s string) (string, error) {
			time.Sleep(9 * time.Second)
			if attempts++; attempts%5 != 0 {
				return "", errors.New("again")
			}
			return s, nil
		})
		r.stage.Workers = 1
		r.stage.StallTimeout = 10 * time.Second
		r.stage.Retry = stage.Retry{Attempts: stage.Forever, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}
		r.push("a:1", "a:2", "b:1")
		r.runToEnd(t)
		if got := r.sink.Values(); len(got) != 3 || attempts != 15 {
			t.Errorf("written %q after %d attempts", got, attempts)
		}
	})
}

// TestWriterThatNeverAnswersIsReported by the record that waits for it, with
// both deliveries. It is no reason to stop: a broker may be away.
func TestWriterThatNeverAnswersIsReported(t *testing.T) {
	for _, d := range []stage.Delivery{stage.AtLeastOnce, stage.ExactlyOnce} {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{}
			s := exactly(l, same)
			s.Delivery = d
			if d == stage.AtLeastOnce {
				s.TransactionalID = ""
				l.inTxn = true
			}
			l.silent = func(r stage.Raw) bool { return string(r.Value) == "c" }
			s.StallTimeout = 10 * time.Second
			s.DrainTimeout = time.Second
			log := logTo(s)
			for _, v := range []string{"a", "b", "c", "d"} {
				l.src.Push(0, []byte(v), v)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
			defer cancel()
			err := stage.Run(ctx, s)
			if _, stopped := errors.AsType[*stage.StallError](err); stopped {
				t.Errorf("%v: error %v", d, err)
			}
			offset := "offset=2 "
			if d == stage.ExactlyOnce {
				offset = "offset=0 " // all of them wait for the transaction
			}
			quiet := linesWith(log, "the oldest record of a partition is not finished", "topic=stagetest partition=0 "+offset, `waits_for="a writer's answer"`)
			if len(quiet) != 4 || !strings.Contains(quiet[0], "for=5s") || !strings.Contains(quiet[3], "for=40s") {
				t.Errorf("%v: warnings %q", d, log)
			}
		})
	}
}
