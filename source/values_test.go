package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
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
