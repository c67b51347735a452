package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

func run[T any](t *testing.T, src stage.Source[T]) []T {
	t.Helper()
	var out stagetest.Sink[T]
	err := stage.Run(t.Context(), &stage.Stage[T, T]{
		Source:    src,
		Transform: stage.Map(func(_ context.Context, v T) (T, error) { return v, nil }),
		Sink:      out.Sink(),
		Order:     stage.ByPartition,
		Logger:    quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Values()
}

func TestSliceEndsAndStartsAnew(t *testing.T) {
	in := []string{"a", "b", "c"}
	src := source.Slice(in)
	for range 2 {
		if got := run(t, src); !slices.Equal(got, in) {
			t.Errorf("got %q, want %q", got, in)
		}
	}
}

func TestSeqIsReadLazilyAndForgotten(t *testing.T) {
	const n = 50_000
	got := run(t, source.Seq(func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}))
	if len(got) != n || got[n-1] != n-1 {
		t.Errorf("%d values", len(got))
	}
}

// TestSeqThatWaitsStopsWithTheStage: the iterator can't be told, the stage can.
func TestSeqThatWaitsStopsWithTheStage(t *testing.T) {
	waiting, release, returned := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var log, out bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- stage.Run(ctx, &stage.Stage[int, int]{
			Source: source.Seq(func(func(int) bool) {
				defer close(returned)
				close(waiting)
				<-release
			}),
			Transform: stage.Map(func(_ context.Context, n int) (int, error) { return n, nil }),
			Sink:      sink.JSONLines[int](&out),
			Logger:    slog.New(slog.NewTextHandler(&log, nil)),
		})
	}()
	<-waiting
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "iterator") {
		t.Errorf("no warning of what stays behind:\n%s", &log)
	}
	close(release)
	<-returned
}

// TestSeqReturnsBeforeTheStage: what an iterator leaves behind may be read
// after a stop.
func TestSeqReturnsBeforeTheStage(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	returned := false
	err := stage.Run(ctx, &stage.Stage[int, int]{
		Source: source.Seq(func(yield func(int) bool) {
			defer func() { returned = true }()
			for i := 0; yield(i); i++ {
			}
		}),
		Transform: stage.Map(func(_ context.Context, n int) (int, error) {
			if n == 1000 {
				stop()
			}
			return n, nil
		}),
		Sink:   sink.JSONLines[int](io.Discard),
		Logger: quiet,
	})
	if err != nil || !returned {
		t.Errorf("returned %v, error %v", returned, err)
	}
}

// TestSeqIsSharedByStages: one of them ends while the other has yet to decode.
func TestSeqIsSharedByStages(t *testing.T) {
	in := []string{"a", "b", "c", "d"}
	src := source.Slice(in)
	first, others := make(chan struct{}), make(chan struct{})
	var out stagetest.Sink[string]
	done := make(chan error, 1)
	go func() {
		done <- stage.Run(t.Context(), &stage.Stage[string, string]{
			Source: src,
			Transform: stage.Map(func(_ context.Context, v string) (string, error) {
				if v == "a" {
					close(first)
					<-others
				}
				return v, nil
			}),
			Sink:    out.Sink(),
			Order:   stage.ByPartition,
			Workers: 1,
			Logger:  quiet,
		})
	}()
	<-first
	if got := run(t, src); !slices.Equal(got, in) {
		t.Errorf("the second run got %q, want %q", got, in)
	}
	close(others)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := out.Values(); !slices.Equal(got, in) {
		t.Errorf("the first run got %q, want %q", got, in)
	}
}

func TestJSONLinesTakesLinesOfAnyLength(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	got := run(t, source.JSONLines[string](strings.NewReader("\"a\"\n\""+long+"\"\n"), "lines"))
	if len(got) != 2 || got[1] != long {
		t.Errorf("%d lines", len(got))
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestJSONLinesNamesTheLineItCannotRead(t *testing.T) {
	r := io.MultiReader(strings.NewReader("1\n2\n"), failing{errors.New("disk on fire")})
	var out bytes.Buffer
	err := stage.Run(t.Context(), &stage.Stage[int, int]{
		Source:    source.JSONLines[int](r, "numbers"),
		Transform: stage.Map(func(_ context.Context, v int) (int, error) { return v, nil }),
		Sink:      sink.JSONLines[int](&out),
		Logger:    quiet,
	})
	if err == nil || !strings.Contains(err.Error(), "numbers, line 3: disk on fire") {
		t.Errorf("error %v", err)
	}
}
