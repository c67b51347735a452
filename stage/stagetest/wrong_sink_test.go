package stagetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// wrongWriter does something wrong around a right one.
type wrongWriter struct {
	stage.Writer
	write func(w stage.Writer, recs []stage.Raw, done func(int, error))
	close func(w stage.Writer, ctx context.Context) error
}

func (w *wrongWriter) Write(recs []stage.Raw, done func(int, error)) {
	if w.write == nil {
		w.Writer.Write(recs, done)
		return
	}
	w.write(w.Writer, recs, done)
}

func (w *wrongWriter) Close(ctx context.Context) error {
	if w.close == nil {
		return w.Writer.Close(ctx)
	}
	return w.close(w.Writer, ctx)
}

func TestSuiteFindsWrongSinks(t *testing.T) {
	const (
		encodes = "encodes concurrently"
		writes  = "writes every record once, in order, as it is"
		acks    = "acknowledges what is there"
		several = "writes from several goroutines"
		closes  = "closes when all is answered"
		leaves  = "leaves no goroutine"
		refuses = "refuses for good one record alone"
		checks  = "checks without a trace"
	)
	type sink = *SinkFixture[string]
	writer := func(f sink, w func(testing.TB) *wrongWriter) func(testing.TB) {
		return func(tb testing.TB) {
			target := f.Sink.Targets[0]
			open := target.Open
			target.Open = func(ctx context.Context, env stage.Env) (stage.Writer, error) {
				right, err := open(ctx, env)
				wrong := w(tb)
				wrong.Writer = right
				return wrong, err
			}
			f.Sink.Targets = []stage.Target{target}
		}
	}
	onWrite := func(f func(w stage.Writer, recs []stage.Raw, done func(int, error))) func(sink, testing.TB) {
		return func(s sink, tb testing.TB) {
			writer(s, func(testing.TB) *wrongWriter { return &wrongWriter{write: f} })(tb)
		}
	}
	onEncode := func(change func(out *stage.Raw, rec *stage.Record[string])) func(sink, testing.TB) {
		return func(s sink, _ testing.TB) {
			encode := s.Sink.Encode
			s.Sink.Encode = func(v string, in *stage.Raw, emit func(int, stage.Raw)) error {
				r := stage.Record[string]{Value: v, Raw: *in}
				change(nil, &r)
				return encode(r.Value, &r.Raw, func(n int, out stage.Raw) { change(&out, nil); emit(n, out) })
			}
		}
	}
	for _, c := range []struct {
		wrong string
		spoil func(sink, testing.TB)
		want  map[string]string
	}{
		{"calls done twice", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			w.Write(recs, func(i int, err error) { done(i, err); done(i, err) })
		}), map[string]string{writes: "done was called 2 times", closes: "done was called 2 times"}},
		{"calls done twice, the second time late", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			w.Write(recs, done)
			time.AfterFunc(moment/2, func() { done(0, nil) })
		}), map[string]string{writes: "done was called 2 times"}},
		{"never calls done for the last one", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			w.Write(recs, func(i int, err error) {
				if i < len(recs)-1 || i == 0 {
					done(i, err)
				}
			})
		}), map[string]string{writes: "done was not called for record", closes: "Close has returned before done was called"}},
		{"numbers records beyond the call", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			w.Write(recs, func(i int, err error) { done(i+1, err) })
		}), map[string]string{writes: "done was called for record"}},
		{"acknowledges before it writes", func(s sink, tb testing.TB) {
			var late sync.WaitGroup
			writer(s, func(testing.TB) *wrongWriter {
				return &wrongWriter{
					write: func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
						for i := range recs {
							done(i, nil)
						}
						late.Add(1)
						time.AfterFunc(time.Millisecond, func() {
							defer late.Done()
							w.Write(recs, func(int, error) {})
						})
					},
					close: func(w stage.Writer, ctx context.Context) error { late.Wait(); return w.Close(ctx) },
				}
			})(tb)
		}, map[string]string{acks: "0 records are there, and 20 were written", refuses: "is too large was taken"}},
		{"acknowledges what it drops", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			w.Write(recs[:len(recs)-1], done)
			done(len(recs)-1, nil)
		}), map[string]string{writes: "265 records are there, and 271 were written", several: "records are there"}},
		{"writes each record twice", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			w.Write(recs, done)
			w.Write(recs, func(int, error) {})
		}), map[string]string{writes: "542 records are there, and 271 were written"}},
		{"reorders inside a call", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			recs = slices.Clone(recs)
			slices.Reverse(recs)
			w.Write(recs, done)
		}), map[string]string{writes: "it was written at another place", several: "it was written at another place"}},
		{"reorders calls", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			time.AfterFunc(time.Duration(1000/len(recs))*time.Microsecond, func() { w.Write(recs, done) })
		}), map[string]string{writes: "it was written at another place"}},
		{"closes without waiting", func(s sink, tb testing.TB) {
			writer(s, func(testing.TB) *wrongWriter {
				return &wrongWriter{close: func(stage.Writer, context.Context) error { return nil }}
			})(tb)
		}, map[string]string{closes: "Close has returned before done was called"}},
		{"fails to close", func(s sink, tb testing.TB) {
			writer(s, func(testing.TB) *wrongWriter {
				return &wrongWriter{close: func(w stage.Writer, ctx context.Context) error {
					return errors.Join(w.Close(ctx), errors.New("disk full"))
				}}
			})(tb)
		}, map[string]string{closes: "Close: disk full"}},
		{"does not end its Close with the context", func(s sink, tb testing.TB) {
			writer(s, func(testing.TB) *wrongWriter {
				return &wrongWriter{close: func(w stage.Writer, ctx context.Context) error {
					time.Sleep(2 * patience)
					return w.Close(ctx)
				}}
			})(tb)
		}, map[string]string{closes: "Close has not returned"}},
		{"does not mark what is refused for good", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			w.Write(recs, func(i int, err error) {
				if err != nil {
					err = errors.New(err.Error())
				}
				done(i, err)
			})
		}), map[string]string{refuses: "not marked by stage.Permanent"}},
		{"refuses the neighbours as well", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			var mu sync.Mutex
			var first error
			left := len(recs)
			w.Write(recs, func(_ int, err error) {
				mu.Lock()
				defer mu.Unlock()
				first = cmp.Or(first, err)
				if left--; left == 0 {
					for i := range recs {
						done(i, first)
					}
				}
			})
		}), map[string]string{refuses: "more than the one record"}},
		{"changes the records", onWrite(func(w stage.Writer, recs []stage.Raw, done func(int, error)) {
			for i := range recs {
				recs[i].Headers = append(recs[i].Headers[:0], stage.Header{Key: "mine"})
			}
			w.Write(recs, done)
		}), map[string]string{writes: "the writer has changed a record"}},
		{"loses the time", onEncode(func(_ *stage.Raw, in *stage.Record[string]) {
			if in != nil {
				in.Time = time.Time{}
			}
		}), map[string]string{encodes: "the time is", writes: "the time is"}},
		{"loses an empty key", onEncode(func(_ *stage.Raw, in *stage.Record[string]) {
			if in != nil && len(in.Key) == 0 {
				in.Key = nil
			}
		}), map[string]string{encodes: `the key is nil, want ""`, writes: `of key "", 0 records are there`}},
		{"changes the input record", func(s sink, _ testing.TB) {
			encode := s.Sink.Encode
			s.Sink.Encode = func(v string, in *stage.Raw, emit func(int, stage.Raw)) error {
				err := encode(v, in, emit)
				in.Headers = nil
				return err
			}
		}, map[string]string{encodes: "Encode has changed the record that the value was made from"}},
		{"emits to no target", func(s sink, _ testing.TB) {
			s.Sink.Encode = func(_ string, in *stage.Raw, emit func(int, stage.Raw)) error { emit(1, *in); return nil }
		}, map[string]string{encodes: "target 1 of 1"}},
		{"leaves a goroutine", func(s sink, tb testing.TB) {
			writer(s, func(tb testing.TB) *wrongWriter {
				go func() { <-tb.Context().Done() }()
				return &wrongWriter{}
			})(tb)
		}, map[string]string{leaves: "goroutines stay behind"}},
		{"writes when it is checked", func(s sink, _ testing.TB) {
			target := s.Sink.Targets[0]
			target.Check = func(ctx context.Context, env stage.Env) error {
				w, err := target.Open(ctx, env)
				if err != nil {
					return err
				}
				var probe stage.Raw
				err = s.Sink.Encode("probe", &stage.Raw{}, func(_ int, out stage.Raw) { probe = out })
				w.Write([]stage.Raw{probe}, func(int, error) {})
				return errors.Join(err, w.Close(ctx))
			}
			s.Sink.Targets = []stage.Target{target}
		}, map[string]string{checks: "1 records are there, and 0 were written"}},
	} {
		t.Run(c.wrong, func(t *testing.T) {
			found := findings(t, func(tb testing.TB) SinkFixture[string] {
				f := memorySink()
				c.spoil(&f, tb)
				return f
			}, sinkChecks)
			wantFindings(t, found, c.want)
		})
	}
}
