package stagetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// spoiled is a source of which something is made wrong.
func spoiled(partitions int, finite bool, spoil func(testing.TB, *Source[[]byte], *spoiler)) func(testing.TB) SourceFixture[[]byte] {
	return func(tb testing.TB) SourceFixture[[]byte] {
		var src Source[[]byte]
		f := memorySource(&src, partitions, finite)
		open := f.Source.Open
		s := &spoiler{lanes: make(map[stage.Lane]stage.Lane)}
		spoil(tb, &src, s)
		f.Source.Open = func(ctx context.Context, env stage.Env) (stage.Reader, error) {
			r, err := open(ctx, env)
			s.Reader = r
			s.used = nil
			if s.open != nil {
				s.open()
			}
			return s, err
		}
		if s.decode != nil {
			f.Source.Decode = s.decode
		}
		if s.check != nil {
			f.Source.Check = func(ctx context.Context, env stage.Env) error { return s.check(ctx, f.Source.Open, env) }
		}
		return f
	}
}

// spoiler is a reader that does something wrong: what is set.
type spoiler struct {
	stage.Reader
	batch  func(stage.Batch) stage.Batch
	read   func(context.Context) (stage.Batch, error)
	commit func(context.Context, map[stage.Lane]stage.Mark) error
	close  func() error
	open   func()
	decode func(*stage.Raw) ([]byte, error)
	check  func(context.Context, func(context.Context, stage.Env) (stage.Reader, error), stage.Env) error
	lane   func(stage.Lane) stage.Lane

	mu    sync.Mutex
	lanes map[stage.Lane]stage.Lane // as the suite sees them, and as they are
	used  []stage.Raw
}

func (s *spoiler) Read(ctx context.Context) (stage.Batch, error) {
	if s.read != nil {
		return s.read(ctx)
	}
	b, err := s.Reader.Read(ctx)
	if err == nil && s.batch != nil {
		b = s.batch(b)
	}
	if err == nil && s.lane != nil {
		b.Lane = s.wrap(b.Lane)
	}
	return b, err
}

func (s *spoiler) wrap(l stage.Lane) stage.Lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	for seen, is := range s.lanes {
		if is == l {
			return seen
		}
	}
	seen := s.lane(l)
	s.lanes[seen] = l
	return seen
}

func (s *spoiler) Commit(ctx context.Context, marks map[stage.Lane]stage.Mark) error {
	if s.commit != nil {
		return s.commit(ctx, marks)
	}
	return s.Reader.Commit(ctx, s.unwrap(marks))
}

func (s *spoiler) unwrap(marks map[stage.Lane]stage.Mark) map[stage.Lane]stage.Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := make(map[stage.Lane]stage.Mark)
	for l, m := range marks {
		if is, ok := s.lanes[l]; ok {
			l = is
		}
		own[l] = m
	}
	return own
}

func (s *spoiler) Close(ctx context.Context) error {
	if s.close != nil {
		if err := s.close(); err != nil {
			return err
		}
	}
	return s.Reader.Close(ctx)
}

// plainLane is a lane that can't be resumed, deafLane one that does not heed
// Pause, forgetfulLane one that does not know its start.
type plainLane struct{ stage.Lane }
type deafLane struct{ stage.ResumableLane }

func (deafLane) Pause()  {}
func (deafLane) Resume() {}

type forgetfulLane struct{ stage.ResumableLane }

func (forgetfulLane) Start() stage.Mark { return stage.Mark{} }

// fragileLane takes one Release only.
type fragileLane struct {
	stage.ResumableLane
	released chan struct{}
}

func (l *fragileLane) Release() {
	select {
	case <-l.released:
		panic("close of closed channel")
	default:
		close(l.released)
		l.ResumableLane.Release()
	}
}

func TestSuiteFindsWrongSources(t *testing.T) {
	const (
		delivers = "delivers every record once, in order, as it was"
		decodes  = "decodes concurrently"
		unread   = "waits while it is not read"
		beside   = "commits beside a read"
		leaves   = "leaves no goroutine"
		ends     = "ends"
		waits    = "reads until the context ends"
		checks   = "checks without a trace"
		begins   = "begins at the mark"
		pauses   = "pauses a lane"
		gives    = "gives up a lane"
	)
	for _, c := range []struct {
		wrong      string
		partitions int
		finite     bool
		spoil      func(testing.TB, *Source[[]byte], *spoiler)
		want       map[string]string
	}{
		{"reorders", 2, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.batch = func(b stage.Batch) stage.Batch { slices.Reverse(b.Records); return b }
		}, map[string]string{delivers: "they must rise", waits: "they must rise"}},
		{"reorders under new offsets", 2, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.batch = func(b stage.Batch) stage.Batch {
				if n := len(b.Records); n > 1 {
					b.Records[0].Key, b.Records[1].Key = b.Records[1].Key, b.Records[0].Key
				}
				return b
			}
		}, map[string]string{delivers: "is not what was put there: the key is"}},
		{"drops the last record", 2, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.batch = func(b stage.Batch) stage.Batch {
				if n := len(b.Records); n > 1 {
					b.Records = b.Records[:n-1]
				}
				return b
			}
		}, map[string]string{delivers: "209 of 211 records were delivered"}},
		{"drops the last record and ends", 1, true, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.batch = func(b stage.Batch) stage.Batch { b.Records = b.Records[:len(b.Records)-1]; return b }
		}, map[string]string{delivers: "the source ended after 210 of 211 records", ends: "ended after"}},
		{"never ends", 1, true, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.read = func(ctx context.Context) (stage.Batch, error) {
				b, err := s.Reader.Read(ctx)
				if errors.Is(err, io.EOF) {
					<-ctx.Done()
					return b, ctx.Err()
				}
				return b, err
			}
		}, map[string]string{delivers: "want io.EOF", ends: "want io.EOF"}},
		{"delivers twice", 1, true, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			twice := false
			s.read = func(ctx context.Context) (stage.Batch, error) {
				b, err := s.Reader.Read(ctx)
				if err == nil {
					s.used = slices.Clone(b.Records)
					for i := range s.used {
						s.used[i].Offset += 10_000
					}
					s.wrap(b.Lane)
				} else if errors.Is(err, io.EOF) && !twice {
					twice = true
					for l := range s.lanes {
						return stage.Batch{Lane: l, Records: s.used}, nil
					}
				}
				return b, err
			}
			s.lane = func(l stage.Lane) stage.Lane { return l }
		}, map[string]string{delivers: "211 records came that should not"}},
		{"gives an empty key as none", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.batch = func(b stage.Batch) stage.Batch {
				for i := range b.Records {
					if len(b.Records[i].Key) == 0 {
						b.Records[i].Key = nil
					}
				}
				return b
			}
		}, map[string]string{delivers: `the key is nil, want ""`}},
		{"loses a header", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.batch = func(b stage.Batch) stage.Batch {
				for i := range b.Records {
					b.Records[i].Headers = b.Records[i].Headers[:min(2, len(b.Records[i].Headers))]
				}
				return b
			}
		}, map[string]string{delivers: "it has 2 headers, want 3"}},
		{"gives a tombstone as an empty value", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.batch = func(b stage.Batch) stage.Batch {
				for i := range b.Records {
					if b.Records[i].Value == nil {
						b.Records[i].Value = []byte{}
					}
				}
				return b
			}
		}, map[string]string{delivers: `Raw.Value is "", want nil`}},
		{"uses its memory again", 2, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.batch = func(b stage.Batch) stage.Batch {
				s.used = append(s.used[:0], b.Records...)
				b.Records = s.used
				return b
			}
		}, map[string]string{delivers: "must not use its memory again"}},
		{"returns an empty batch", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.read = func(context.Context) (stage.Batch, error) { return stage.Batch{}, nil }
		}, map[string]string{delivers: "want a lane and at least one"}},
		{"decodes into the record", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.decode = func(r *stage.Raw) ([]byte, error) { v := r.Value; r.Value = []byte("used"); return v, nil }
		}, map[string]string{decodes: "Decode has changed the record"}},
		{"fails when its context ends", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.read = func(ctx context.Context) (stage.Batch, error) {
				b, err := s.Reader.Read(ctx)
				if err != nil {
					err = errors.New("closed")
				}
				return b, err
			}
		}, map[string]string{waits: "want the context's error"}},
		{"loses what came while a Read was cancelled", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			lose := false
			s.read = func(ctx context.Context) (stage.Batch, error) {
				b, err := s.Reader.Read(ctx)
				if lose && err == nil {
					b.Records = b.Records[1:]
				}
				lose = err != nil
				return b, err
			}
		}, map[string]string{waits: "6 of 7 records"}},
		{"has a new Lane each time", 2, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.batch = func(b stage.Batch) stage.Batch { b.Lane = &plainLane{b.Lane}; return b }
		}, map[string]string{waits: "a tenure is one Lane"}},
		{"commits nothing", 2, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.commit = func(context.Context, map[stage.Lane]stage.Mark) error { return nil }
		}, map[string]string{begins: "is not what was put there", beside: "is not what was put there", gives: "is not what was put there"}},
		{"commits one record too much", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.commit = func(ctx context.Context, marks map[stage.Lane]stage.Mark) error {
				for l, m := range marks {
					m.Offset++
					marks[l] = m
				}
				return s.Reader.Commit(ctx, marks)
			}
		}, map[string]string{begins: "records were delivered within"}},
		{"keeps the first of two marks at one offset", 1, true, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			last := int64(-1)
			s.commit = func(ctx context.Context, marks map[stage.Lane]stage.Mark) error {
				for l, m := range marks {
					if m.Offset == last {
						delete(marks, l)
					}
					last = m.Offset
				}
				return s.Reader.Commit(ctx, marks)
			}
		}, map[string]string{begins: "Start returns {Offset:3 Done:old"}},
		{"does not know its start", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.lane = func(l stage.Lane) stage.Lane { return &forgetfulLane{l.(stage.ResumableLane)} }
		}, map[string]string{begins: "Start returns {Offset:0 Done: Note:}", gives: "Start returns {Offset:0 Done: Note:}"}},
		{"fails a commit", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.commit = func(context.Context, map[stage.Lane]stage.Mark) error { return errors.New("no coordinator") }
		}, map[string]string{begins: "Commit: no coordinator", beside: "Commit: no coordinator"}},
		{"does not heed Pause", 2, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.lane = func(l stage.Lane) stage.Lane { return &deafLane{l.(stage.ResumableLane)} }
		}, map[string]string{pauses: "came after Pause"}},
		{"delivers after Release", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			var old stage.Batch
			s.batch = func(b stage.Batch) stage.Batch {
				if old.Lane != nil && old.Lane != b.Lane {
					b.Lane = old.Lane
				}
				old = b
				return b
			}
		}, map[string]string{gives: "the next tenure must be another Lane"}},
		{"takes a late mark", 1, false, func(_ testing.TB, src *Source[[]byte], s *spoiler) {
			s.commit = func(ctx context.Context, marks map[stage.Lane]stage.Mark) error {
				for l, m := range marks { // by partition, whoever has it
					_, p := l.ID()
					src.SetCommitted(p, m)
				}
				return nil
			}
		}, map[string]string{gives: "records"}},
		{"is released only once", 1, false, func(_ testing.TB, _ *Source[[]byte], s *spoiler) {
			s.lane = func(l stage.Lane) stage.Lane {
				return &fragileLane{l.(stage.ResumableLane), make(chan struct{})}
			}
		}, map[string]string{delivers: "a second Release panics"}},
		{"leaves a goroutine", 1, false, func(tb testing.TB, _ *Source[[]byte], s *spoiler) {
			s.open = func() { go func() { <-tb.Context().Done() }() }
		}, map[string]string{leaves: "goroutines stay behind"}},
		{"fails to close", 1, false, func(tb testing.TB, _ *Source[[]byte], s *spoiler) {
			s.close = func() error { return errors.New("still in the group") }
		}, map[string]string{leaves: "Close: still in the group", delivers: "Close: still in the group"}},
		{"commits when it is checked", 1, false, func(tb testing.TB, _ *Source[[]byte], s *spoiler) {
			s.check = func(ctx context.Context, open func(context.Context, stage.Env) (stage.Reader, error), e stage.Env) error {
				r, err := open(ctx, e)
				if err != nil {
					return err
				}
				short, cancel := context.WithTimeout(ctx, moment)
				defer cancel()
				if b, err := r.Read(short); err == nil {
					err = r.Commit(ctx, map[stage.Lane]stage.Mark{b.Lane: {Offset: 3}})
					b.Lane.Release()
					if err != nil {
						return err
					}
				}
				return r.Close(ctx)
			}
		}, map[string]string{checks: "7 of 10 records"}},
		{"gives up a lane that is not read", 1, false, func(tb testing.TB, _ *Source[[]byte], s *spoiler) {
			s.batch = func(b stage.Batch) stage.Batch {
				if len(b.Records) > 1000 {
					b.Lane.(*lane).revoke()
				}
				return b
			}
		}, map[string]string{unread: "was revoked"}},
	} {
		t.Run(c.wrong, func(t *testing.T) {
			wantFindings(t, findings(t, spoiled(c.partitions, c.finite, c.spoil), sourceChecks), c.want)
		})
	}
}
