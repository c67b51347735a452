package stagetest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

const (
	// patience bounds whatever a suite waits for. Nothing right takes that
	// long; what is wrong is reported then.
	patience = time.Minute
	// moment is how long a suite looks whether something happens that must
	// not. Shorter only sees less.
	moment = 200 * time.Millisecond
)

// check is one promise that a suite holds an implementation to.
type check[F any] struct {
	name string
	run  func(tb testing.TB, f F)
}

// runChecks gives each check a fixture of its own. It asks for one more, to
// see which checks there are.
func runChecks[F any](t *testing.T, open func(testing.TB) F, checks func(testing.TB, F) []check[F]) {
	t.Helper()
	for _, c := range checks(t, open(t)) {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// Parts are parts of a record that a source or a sink may have no place for.
type Parts uint8

// The parts of a record besides its value.
const (
	Keys Parts = 1 << iota
	Headers
	Times
)

// samples makes n records of the values from number from on, spread over
// partitions, with all that a careless implementation loses: no key and an
// empty one, bytes that are no text, headers that repeat, times of long ago.
func samples[T any](n, from, partitions int, without Parts, value func(int) T) []stage.Record[T] {
	keys := [][]byte{[]byte("a"), []byte("b"), nil, {}, {0, 0xff, '\n'}, []byte("ключ")}
	headers := [][]stage.Header{
		nil,
		{{Key: "trace", Value: []byte{0, 1, 0xff}}},
		{{Key: "same", Value: []byte("first")}, {Key: "other"}, {Key: "same", Value: []byte("second")}},
	}
	recs := make([]stage.Record[T], n)
	for j := range recs {
		i := from + j
		r := stage.Raw{
			Partition: int32(i % partitions),
			Key:       bytes.Clone(keys[i/partitions%len(keys)]),
			Time:      time.UnixMilli(1_555_000_000_123 + int64(i)),
		}
		for _, h := range headers[i%len(headers)] {
			r.Headers = append(r.Headers, stage.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
		}
		if without&Keys != 0 {
			r.Key = nil
		}
		if without&Headers != 0 {
			r.Headers = nil
		}
		if without&Times != 0 {
			r.Time = time.Time{}
		}
		recs[j] = stage.Record[T]{Value: value(i), Raw: r}
	}
	return recs
}

// differ says what of two records is not the same, "" if nothing is. Where
// they were read does not count.
func differ[T any](got, want stage.Record[T], without Parts) string {
	if !reflect.DeepEqual(got.Value, want.Value) {
		return fmt.Sprintf("the value is %s, want %s", show(got.Value), show(want.Value))
	}
	return differAround(got.Raw, want.Raw, without)
}

// differAround compares what surrounds the values.
func differAround(got, want stage.Raw, without Parts) string {
	switch {
	case without&Keys == 0 && !sameBytes(got.Key, want.Key):
		return fmt.Sprintf("the key is %s, want %s", show(got.Key), show(want.Key))
	case without&Headers == 0 && len(got.Headers) != len(want.Headers):
		return fmt.Sprintf("it has %d headers, want %d", len(got.Headers), len(want.Headers))
	case without&Times == 0 && !got.Time.Equal(want.Time):
		return fmt.Sprintf("the time is %v, want %v", got.Time, want.Time)
	}
	for i, h := range want.Headers {
		if without&Headers != 0 {
			break
		}
		if g := got.Headers[i]; g.Key != h.Key || !bytes.Equal(g.Value, h.Value) {
			return fmt.Sprintf("header %d is %s=%s, want %s=%s", i, g.Key, show(g.Value), h.Key, show(h.Value))
		}
	}
	return ""
}

// sameBytes tells nil from empty: no key from an empty one, a tombstone from
// an empty value.
func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

// show is a value for an error message.
func show(v any) string {
	s := fmt.Sprintf("%+v", v)
	if b, ok := v.([]byte); ok {
		if s = fmt.Sprintf("%q", b); b == nil {
			s = "nil"
		}
	}
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

// clone copies a record down to its bytes.
func clone(r stage.Raw) stage.Raw {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	headers := r.Headers
	r.Headers = nil
	for _, h := range headers {
		r.Headers = append(r.Headers, stage.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	return r
}

// sameRaw reports whether a record is still what clone copied.
func sameRaw(got, want stage.Raw) bool {
	return sameBytes(got.Value, want.Value) && differAround(got, want, 0) == "" &&
		got.Topic == want.Topic && got.Partition == want.Partition && got.Offset == want.Offset
}

// env is what a stage would tell.
func env(topics []string, transactionalID string) stage.Env {
	return stage.Env{
		Stage:           "stagetest",
		Logger:          slog.New(slog.DiscardHandler),
		Topics:          topics,
		TransactionalID: transactionalID,
		DrainTimeout:    10 * time.Second,
	}
}

// within runs f, which must return. It fails the test if it does not.
func within(tb testing.TB, what string, f func()) {
	tb.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		tb.Fatalf("%s has not returned for %v", what, patience)
	}
}

// leavesNoGoroutine runs f twice, since what a process starts only once is no
// leak, and fails the test if goroutines of the second time stay behind. It
// finds them by a label that they inherit, so that others do not matter.
func leavesNoGoroutine(tb testing.TB, f func()) {
	tb.Helper()
	f()
	label := fmt.Sprintf("%s at %d", tb.Name(), time.Now().UnixNano())
	pprof.Do(tb.Context(), pprof.Labels("stagetest", label), func(context.Context) { f() })
	deadline := time.Now().Add(patience)
	for {
		left := goroutines(label)
		switch {
		case len(left) == 0:
			return
		case time.Now().After(deadline):
			tb.Fatalf("goroutines stay behind after Close:\n%s", strings.Join(left, "\n\n"))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// goroutines gives the stacks of those with the label.
func goroutines(label string) (stacks []string) {
	var all strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&all, 1) // a Builder takes everything
	for stack := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(stack, label) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}
