package stage_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

func TestRunWritesEverythingAndCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(_ context.Context, s string) (string, error) { return strings.ToUpper(s), nil })
		r.push("a:1", "b:1", "a:2", "plain")
		r.runToEnd(t)
		got := r.sink.Values()
		slices.Sort(got)
		if want := []string{"A:1", "A:2", "B:1", "PLAIN"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q", got, want)
		}
		if c := r.src.Committed(0); c != 4 {
			t.Errorf("committed %d, want 4", c)
		}
	})
}

func TestKeyHeadersAndTimeTravel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		at := time.Date(2019, 6, 1, 12, 0, 0, 0, time.UTC)
		r.src.PushRecord(stage.Record[string]{Value: "v", Raw: stage.Raw{
			Key: []byte("k"), Time: at, Headers: []stage.Header{{Key: "id", Value: []byte("7")}},
		}})
		r.runToEnd(t)
		out := r.sink.Written()[0]
		id, ok := out.Header("id")
		if string(out.Key) != "k" || !out.Time.Equal(at) || !ok || string(id) != "7" {
			t.Errorf("key %q, time %v, header %q", out.Key, out.Time, id)
		}
	})
}

func TestStageKeyChangesTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same)
		r.stage.Key = func(v string) []byte { return []byte("new-" + v) }
		r.push("a:1")
		r.runToEnd(t)
		if k := string(r.sink.Written()[0].Key); k != "new-a:1" {
			t.Errorf("key %q", k)
		}
	})
}

func TestOneStageStopsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := newRig(same), newRig(func(context.Context, string) (string, error) {
			time.Sleep(time.Second) // the other one has read its record by then
			return "", stage.Permanent(errors.New("broken"))
		})
		good.push("a:1")
		bad.push("a:1")
		err := stage.Run(t.Context(), &good.stage, &bad.stage)
		if err == nil || !strings.Contains(err.Error(), "broken") {
			t.Fatalf("error %v", err)
		}
		if c := good.src.Committed(0); c != 1 {
			t.Errorf("the other stage committed %d, want 1", c)
		}
	})
}

func TestValidateReportsAllAtOnce(t *testing.T) {
	s := &stage.Stage[string, string]{Workers: -1, BatchSize: -1, Order: 9, Retry: stage.Retry{Jitter: 3}}
	err := stage.Run(t.Context(), s)
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Source:", "Transform:", "Sink:", "Workers:", "BatchSize:", "Order:", "Retry.Jitter:"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in %v", field, err)
		}
	}
	if err := stage.Run(t.Context()); err == nil {
		t.Error("Run of nothing: no error")
	}
}

// TestBytesDecodeCopies: what a transform does to its bytes must not reach a
// retry or a dead letter.
func TestBytesDecodeCopies(t *testing.T) {
	raw := []byte("hello")
	v, err := stage.Bytes().Decode(raw)
	if err != nil || string(v) != "hello" {
		t.Fatalf("decoded %q, error %v", v, err)
	}
	if slices.Reverse(v); string(raw) != "hello" {
		t.Errorf("the record's bytes are now %q", raw)
	}
}
