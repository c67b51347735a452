package stage_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// rig is a stage over memory, in a bubble of fake time.
type rig struct {
	src   stagetest.Source[string]
	sink  stagetest.Sink[string]
	dead  stagetest.Sink[stage.DeadLetter]
	stage stage.Stage[string, string]
}

func newRig(f func(context.Context, string) (string, error)) *rig {
	r := &rig{}
	r.stage = stage.Stage[string, string]{
		Name:      "test",
		Source:    r.src.Source(),
		Transform: stage.Map(f),
		Sink:      r.sink.Sink(),
		Workers:   8,
		Logger:    slog.New(slog.DiscardHandler),
	}
	return r
}

func (r *rig) withDeadLetters() *rig {
	r.stage.DeadLetters = r.dead.Sink()
	return r
}

// push adds values "key:n" to partition 0; a value without a key has none.
func (r *rig) push(values ...string) {
	for _, v := range values {
		var key []byte
		if k, _, ok := strings.Cut(v, ":"); ok {
			key = []byte(k)
		}
		r.src.Push(0, key, v)
	}
}

func (r *rig) runToEnd(t *testing.T) {
	t.Helper()
	r.src.End()
	if err := stage.Run(t.Context(), &r.stage); err != nil {
		t.Fatal(err)
	}
}

// start runs the stage beside the test. What it returns stops the stage and
// gives what Run returned.
func (r *rig) start(t *testing.T) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- stage.Run(ctx, &r.stage) }()
	return func() error { cancel(); return <-done }
}

// spyReader is the source's reader, and knows what the stage did with it.
type spyReader struct {
	stage.Reader
	reads, commits, closes atomic.Int64
	commit                 func(ctx context.Context, nth int64) error // if set, may fail the nth commit, from 1
	closeErr               error                                      // of the context that Close got
}

func (r *rig) spyOnReader() *spyReader {
	spy := &spyReader{}
	open := r.stage.Source.Open
	r.stage.Source.Open = func(ctx context.Context, env stage.Env) (stage.Reader, error) {
		in, err := open(ctx, env)
		spy.Reader = in
		return spy, err
	}
	return spy
}

func (s *spyReader) Read(ctx context.Context) (stage.Batch, error) {
	s.reads.Add(1)
	return s.Reader.Read(ctx)
}

func (s *spyReader) Commit(ctx context.Context, marks map[stage.Lane]stage.Mark) error {
	if n := s.commits.Add(1); s.commit != nil {
		if err := s.commit(ctx, n); err != nil {
			return err
		}
	}
	return s.Reader.Commit(ctx, marks)
}

func (s *spyReader) Close(ctx context.Context) error {
	s.closes.Add(1)
	s.closeErr = ctx.Err()
	return s.Reader.Close(ctx)
}

// around puts f around every Write to the sink: the nth, from 1, happens when
// f calls write.
func (r *rig) around(f func(nth int64, write func())) {
	target := r.stage.Sink.Targets[0]
	open := target.Open
	target.Open = func(ctx context.Context, env stage.Env) (stage.Writer, error) {
		w, err := open(ctx, env)
		return &slowWriter{Writer: w, around: f}, err
	}
	r.stage.Sink.Targets = []stage.Target{target}
}

type slowWriter struct {
	stage.Writer
	around func(nth int64, write func())
	calls  atomic.Int64
}

func (w *slowWriter) Write(recs []stage.Raw, done func(int, error)) {
	w.around(w.calls.Add(1), func() { w.Writer.Write(recs, done) })
}

// split writes each value where to says: to a, to b, or to both.
func split(a, b stage.Sink[string], to func(v string) (a, b bool)) stage.Sink[string] {
	return stage.Sink[string]{
		Targets: slices.Concat(a.Targets, b.Targets),
		Encode: func(v string, in *stage.Raw, emit func(int, stage.Raw)) (err error) {
			toA, toB := to(v)
			if toA {
				err = a.Encode(v, in, emit)
			}
			if toB && err == nil {
				err = b.Encode(v, in, func(target int, out stage.Raw) { emit(len(a.Targets)+target, out) })
			}
			return err
		},
	}
}

func same(_ context.Context, s string) (string, error) { return s, nil }
