package stagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// tombstones gives every seventh value as nil.
func tombstones(i int) []byte {
	switch i % 7 {
	case 5:
		return nil
	case 6:
		return []byte{}
	}
	return fmt.Appendf(nil, "value %d \x00\xff", i)
}

func memorySource(s *Source[[]byte], partitions int, finite bool) SourceFixture[[]byte] {
	if finite {
		s.End()
	}
	return SourceFixture[[]byte]{
		Source: s.Source(),
		Value:  tombstones,
		Put: func(recs ...stage.Record[[]byte]) {
			for _, r := range recs {
				r.Raw.Value = r.Value
				s.PushRecord(r)
			}
		},
		Bytes:      func(v []byte) []byte { return v },
		Partitions: partitions,
		Finite:     finite,
		Revoke: func() func() {
			s.Revoke(int32(partitions - 1))
			return func() { s.Assign(int32(partitions - 1)) }
		},
	}
}

func memorySink() SinkFixture[string] {
	var s Sink[string]
	large := fmt.Sprint(strings.Repeat("x", 100))
	s.Latency = 10 * time.Millisecond
	s.Refuse = func(r stage.Record[string], _ int) error {
		if len(r.Value) >= 100 {
			return stage.Permanent(errors.New("too large"))
		}
		return nil
	}
	return SinkFixture[string]{
		Sink:     s.Sink(),
		Value:    func(i int) string { return fmt.Sprint("value ", i) },
		Written:  s.Written,
		TooLarge: func() string { return large },
	}
}

func TestSourcePassesItsSuite(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		for _, finite := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d partitions, finite %v", partitions, finite), func(t *testing.T) {
				open := func(testing.TB) SourceFixture[[]byte] { return memorySource(new(Source[[]byte]), partitions, finite) }
				t.Run("bubble", func(t *testing.T) { inBubbles(t, open, sourceChecks) })
				TestSource(t, open)
			})
		}
	}
}

func TestSinkPassesItsSuite(t *testing.T) {
	open := func(testing.TB) SinkFixture[string] { return memorySink() }
	t.Run("bubble", func(t *testing.T) { inBubbles(t, open, sinkChecks) })
	TestSink(t, open)
}

func TestTransactionalWriterPassesTheSuite(t *testing.T) {
	open := func(testing.TB) SinkFixture[string] { return newLedger().fixture() }
	t.Run("bubble", func(t *testing.T) { inBubbles(t, open, sinkChecks) })
	TestSink(t, open)
}

func TestTransformsPassTheirSuite(t *testing.T) {
	type post struct {
		ID     int
		Text   string
		Length int
	}
	length := stage.Map(func(_ context.Context, s string) (int, error) {
		if s == "bad" {
			return 0, stage.Permanent(errors.New("bad"))
		}
		return len(s), nil
	})
	double := stage.Map(func(_ context.Context, n int) (int, error) {
		if n == 13 {
			return 0, stage.ErrSkip
		}
		return 2 * n, nil
	})
	text := func(i int) string { return strings.Repeat("x", i) }
	bad := func(int) string { return "bad" }
	for name, open := range map[string]func(testing.TB) TransformFixture[string, int]{
		"Map": func(testing.TB) TransformFixture[string, int] {
			return TransformFixture[string, int]{Transform: length, In: text, Bad: bad}
		},
		"Then": func(testing.TB) TransformFixture[string, int] {
			return TransformFixture[string, int]{Transform: stage.Then(length, double), In: text, Bad: bad}
		},
		"Use": func(testing.TB) TransformFixture[string, int] {
			t := stage.Use(length, stage.Timeout[string, int](time.Minute), stage.RateLimit[string, int](1e9, 100))
			return TransformFixture[string, int]{Transform: t, In: text, Bad: bad}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("bubble", func(t *testing.T) { inBubbles(t, open, transformChecks) })
			TestTransform(t, open)
		})
	}
	t.Run("Lift", func(t *testing.T) {
		TestTransform(t, func(testing.TB) TransformFixture[post, post] {
			put := func(p post, n int) post { p.Length = n; return p }
			return TransformFixture[post, post]{
				Transform: stage.Lift(stage.Then(length, double), func(p post) string { return p.Text }, put),
				In:        func(i int) post { return post{ID: i, Text: text(i % 20)} },
				Bad:       func(i int) post { return post{ID: i, Text: "bad"} },
			}
		})
	})
}

// inBubbles runs a suite in fake time, a bubble for each check.
func inBubbles[F any](t *testing.T, open func(testing.TB) F, checks func(testing.TB, F) []check[F]) {
	for _, c := range checks(t, open(t)) {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t, open(t)) })
		})
	}
}

// recorder is a testing.TB whose failures are the test's findings.
type recorder struct {
	testing.TB
	ctx context.Context
	end context.CancelFunc

	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Name() string             { return r.TB.Name() }
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Errorf(f string, a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(f, a...))
}
func (r *recorder) Error(a ...any)            { r.Errorf("%s", fmt.Sprint(a...)) }
func (r *recorder) Fatalf(f string, a ...any) { r.Errorf(f, a...); r.FailNow() }
func (r *recorder) Fatal(a ...any)            { r.Error(a...); r.FailNow() }
func (r *recorder) FailNow()                  { runtime.Goexit() }
func (r *recorder) Skip(...any)               { runtime.Goexit() }
func (r *recorder) Cleanup(f func())          { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

// findings runs a suite on what is wrong, in fake time, and gives what each
// check has to say about it.
func findings[F any](t *testing.T, open func(testing.TB) F, checks func(testing.TB, F) []check[F]) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, c := range checks(t, open(t)) {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{TB: t}
			r.ctx, r.end = context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.run(r, open(r))
			}()
			<-done
			r.end()
			for _, f := range slices.Backward(r.cleanups) {
				f()
			}
			time.Sleep(10 * patience) // what is wrong may be slow to end
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.failures) > 0 {
				found[c.name] = strings.Join(r.failures, "\n")
			}
		})
	}
	return found
}

// wantFindings holds what a suite found in something wrong against what it
// must find: by check, a part of the message.
func wantFindings(t *testing.T, found, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !strings.Contains(found[name], want[name]) || found[name] == "" {
			t.Errorf("%q found %q; want %q in it", name, found[name], want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, ok := want[name]; !ok {
			t.Logf("besides, %q found: %s", name, found[name])
		}
	}
}
