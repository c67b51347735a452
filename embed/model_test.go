package embed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

var _ stage.Transform[string, vector.Vector] = (*Model)(nil)

const miniLM = "all-MiniLM-L6-v2"

var sharedMiniLM = sync.OnceValues(func() (*Model, error) { return Open(Installed(miniLM)) })

// openMiniLM gives a model that the tests share. It fails without one: these
// tests are worth nothing without the real parts.
func openMiniLM(t testing.TB) *Model {
	t.Helper()
	m, err := sharedMiniLM()
	if err != nil {
		t.Fatalf("%v\nThe tests need the native parts and the model: run `make setup`.", err)
	}
	return m
}

// variedTexts are sentences of 1 to 60 words.
func variedTexts(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("we will build a new harbour and the ships shall come from everywhere taxes wind rain people never always tremendous")
	texts := make([]string, n)
	for i := range texts {
		var b strings.Builder
		for range 1 + r.IntN(60) {
			fmt.Fprintf(&b, "%s ", words[r.IntN(len(words))])
		}
		texts[i] = b.String()
	}
	return texts
}

func TestBatchGivesWhatSinglesGiveInOrder(t *testing.T) {
	m := openMiniLM(t)
	texts := variedTexts(70)
	all, err := m.Transform(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(texts) {
		t.Fatalf("%d vectors for %d texts", len(all), len(texts))
	}
	for i, text := range texts {
		one, err := m.Transform(t.Context(), []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if d := distance(one[0].Values, all[i].Values); d > 1e-5 {
			t.Errorf("text %d: alone and in a batch differ by %g", i, d)
		}
		if n := norm(all[i].Values); math.Abs(n-1) > 1e-5 {
			t.Errorf("text %d: length %g, want 1", i, n)
		}
	}
}

func TestOptionsDoNotChangeVectors(t *testing.T) {
	want := openMiniLM(t)
	texts := variedTexts(40)
	a, err := want.Transform(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for _, opts := range [][]Option{
		{WithLatency()},
		{WithThreads(1000), WithBatchTokens(1)},
		{WithBatchTokens(100_000)},
	} {
		m, err := Open(Installed(miniLM), opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if m.Space() != want.Space() || m.Dim() != 384 {
			t.Errorf("space %s of %d, want %s of 384", m.Space(), m.Dim(), want.Space())
		}
		b, err := m.Transform(t.Context(), texts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range a {
			if d := distance(a[i].Values, b[i].Values); d > 1e-5 {
				t.Errorf("text %d differs by %g", i, d)
			}
		}
	}
}

// By default as many batches run at once as there are processors; each setting
// has them all busy.
func TestThreads(t *testing.T) {
	procs, alone := runtime.GOMAXPROCS(0), 256
	shared := 512 * procs
	if procs == 1 {
		shared = alone
	}
	for _, c := range []struct {
		name                     string
		opts                     []Option
		threads, runners, tokens int
	}{
		{"default", nil, 1, procs, alone},
		{"latency", []Option{WithLatency()}, procs, 1, shared},
		{"one thread, stated", []Option{WithThreads(1)}, 1, procs, alone},
		{"more than there are", []Option{WithThreads(procs + 1)}, procs, 1, shared},
		{"the last one counts", []Option{WithLatency(), WithThreads(0)}, 1, procs, alone},
		{"tokens", []Option{WithLatency(), WithBatchTokens(7)}, procs, 1, 7},
	} {
		m, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs), tinyFiles(), c.opts...)
		if err != nil {
			t.Fatal(err)
		}
		if s := &m.settings; s.threads != c.threads || cap(m.runners) != c.runners || s.batchTokens != c.tokens {
			t.Errorf("%s: %d threads, %d runners, %d tokens", c.name, s.threads, cap(m.runners), s.batchTokens)
		}
	}
}

func TestTransformNothing(t *testing.T) {
	out, err := openMiniLM(t).Transform(t.Context(), nil)
	if err != nil || len(out) != 0 {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestConcurrentTransforms(t *testing.T) {
	for _, opts := range [][]Option{nil, {WithLatency()}} {
		m, err := Open(Installed(miniLM), opts...)
		if err != nil {
			t.Fatalf("%v\nRun `make setup`.", err)
		}
		defer m.Close()
		texts := variedTexts(24)
		want, err := m.Transform(t.Context(), texts)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				mine := texts[w*3:][:15]
				for range 3 {
					got, err := m.Transform(t.Context(), mine)
					if err != nil {
						t.Error(err)
						return
					}
					for i := range got {
						if d := distance(got[i].Values, want[w*3+i].Values); d > 1e-5 {
							t.Errorf("text %d differs by %g", w*3+i, d)
						}
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestCancel(t *testing.T) {
	m, err := Open(Installed(miniLM), WithBatchTokens(1<<16))
	if err != nil {
		t.Fatalf("%v\nRun `make setup`.", err)
	}
	defer m.Close()
	long := strings.Repeat("long texts take their time ", 100)
	texts := make([]string, 200) // one batch of many seconds
	for i := range texts {
		texts[i] = long
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := m.Transform(ctx, texts)
		done <- err
	}()
	for len(m.runners) == cap(m.runners) { // until it runs
		select {
		case err := <-done:
			t.Fatalf("over before it was cancelled: %v", err)
		default:
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while running: %v", err)
	}
	if _, err := m.Transform(ctx, texts); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	if _, err := m.Transform(t.Context(), texts[:1]); err != nil {
		t.Errorf("after a cancelled one: %v", err)
	}
}

func TestCloseWhileRunning(t *testing.T) {
	m, err := Open(Installed(miniLM))
	if err != nil {
		t.Fatalf("%v\nRun `make setup`.", err)
	}
	texts := variedTexts(20)
	var started, wg sync.WaitGroup
	started.Add(4)
	for range 4 {
		wg.Go(func() {
			for first := true; ; first = false {
				_, err := m.Transform(t.Context(), texts)
				if first {
					started.Done()
				}
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	started.Wait()
	for range 2 {
		wg.Go(func() {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}
