package embed

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// poisoned knows two words that the model can't take: the tokenizer's x is
// beyond the model's table, and y is NaN in it.
func poisoned(t *testing.T, opts ...Option) *Model {
	t.Helper()
	files := tinyFiles()
	files["tokenizer.json"] = strings.Replace(tinyTokenizer, `"[UNK]": 4`, `"[UNK]": 4, "y": 5, "x": 6`, 1)
	g := &onnx.Graph{}
	table := append(append([]float32(nil), tinyTable...), float32(math.NaN()), 1)
	g.Node("Gather", tokensOutput, []string{g.Floats("table", []int64{6, 2}, table...), inputIDs})
	g.Input(inputIDs, onnx.Int64, "batch", "sequence")
	g.Output(tokensOutput, onnx.Float32, "batch", "sequence", 2)
	m, err := openTiny(t, g, files, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPoisonFailsAlone(t *testing.T) {
	for _, opts := range [][]Option{nil, {WithBatchTokens(16)}, {WithLatency()}, {WithBatchInvariant(true)}} {
		m := poisoned(t, opts...)
		texts := make([]string, 100)
		for i := range texts {
			texts[i] = []string{"a", "a b", "c"}[i%3]
		}
		texts[7], texts[50], texts[99] = "x", "a y b", "b x"
		out, err := m.Transform(t.Context(), texts)
		failed, ok := errors.AsType[*stage.BatchError](err)
		if !ok || len(failed.Errs) != len(texts) || len(out) != len(texts) {
			t.Fatalf("%d results, %v", len(out), err)
		}
		for i, err := range failed.Errs {
			switch i {
			case 7, 99:
				if err == nil || !strings.Contains(err.Error(), "embed: a text of ") || stage.IsPermanent(err) {
					t.Errorf("text %d: %v", i, err)
				}
			case 50:
				if err == nil || !strings.Contains(err.Error(), "embed: a text of 3 tokens: number 0 of the vector is NaN") || !stage.IsPermanent(err) {
					t.Errorf("text %d: %v", i, err)
				}
			default:
				if err != nil || distance(out[i].Values, [][]float32{{1, 0}, {0.5, 1}, {-3, 4}}[i%3]) > 1e-6 {
					t.Errorf("text %d: %v, %v", i, out[i], err)
				}
			}
		}
		if good, err := m.Transform(t.Context(), []string{"a"}); err != nil || good[0].Values[0] != 1 {
			t.Errorf("after poison: %v, %v", good, err)
		}
	}
}

// A stage retries what failed, and nothing else.
func TestPoisonInAStage(t *testing.T) {
	m := poisoned(t)
	lengths := stage.Then(m, stage.Map(func(_ context.Context, v vector.Vector) (int, error) { return len(v.Values), nil }))
	out, err := lengths.Transform(t.Context(), []string{"a", "x", "b"})
	failed, ok := errors.AsType[*stage.BatchError](err)
	if !ok || failed.Errs[0] != nil || failed.Errs[1] == nil || failed.Errs[2] != nil || out[0] != 2 || out[2] != 2 {
		t.Errorf("%v, %v", out, err)
	}
}

func TestTokensAndTruncation(t *testing.T) {
	m := openMiniLM(t)
	for _, c := range []struct {
		text      string
		tokens    int
		truncated bool
	}{
		{"", 2, false},
		{"hello world", 4, false},
		{strings.Repeat("the ", 254), 256, false},
		{strings.Repeat("the ", 255), 256, true},
		{strings.Repeat("the ", 254) + " \n\t ", 256, false},
		{strings.Repeat("the ", 254) + strings.Repeat(" \n\t ", 100_000), 256, false},
		{strings.Repeat("the ", 254) + strings.Repeat(" \n\t ", 100_000) + ".", 256, true},
		{strings.Repeat("tokenization ", 10_000), 256, true},
	} {
		got, err := m.Embed(t.Context(), []string{"before", c.text})
		if err != nil {
			t.Fatal(err)
		}
		if got[1].Tokens != c.tokens || got[1].Truncated != c.truncated || len(got[1].Vector.Values) != 384 {
			t.Errorf("%.20q of %d bytes: %d tokens, truncated %t, want %d, %t", c.text, len(c.text), got[1].Tokens, got[1].Truncated, c.tokens, c.truncated)
		}
	}
}

func TestWindow(t *testing.T) {
	huge := strings.Repeat("x", windowBytes)
	for _, c := range []struct {
		texts []string
		want  int
	}{
		{nil, 0},
		{[]string{"a"}, 1},
		{make([]string, windowTexts), windowTexts},
		{make([]string, windowTexts+1), windowTexts},
		{[]string{huge, "a"}, 1},
		{[]string{"a", huge}, 1},
		{[]string{huge[1:], "a"}, 2},
		{[]string{huge + "a"}, 1},
	} {
		if got := window(c.texts); got != c.want {
			t.Errorf("%d texts: %d, want %d", len(c.texts), got, c.want)
		}
	}
}

// However much comes in, a runner's buffers hold no more than a batch, or the
// longest text.
func TestMemoryIsBounded(t *testing.T) {
	const budget = 512
	m, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs, inputMask), tinyFiles(), WithBatchTokens(budget), WithMaxSeqLength(64))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a b c ", 20_000) // 120 KB
	texts := make([]string, 10_000)
	for i := range texts {
		if texts[i] = "a"; i%97 == 0 {
			texts[i] = long
		}
	}
	got, err := m.Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range texts {
		want, tokens := []float32{1, 0}, 1
		if i%97 == 0 {
			want, tokens = []float32{(22 - 3*21) / 64.0, (2 + 4) * 21 / 64.0}, 64
		}
		if distance(got[i].Vector.Values, want) > 1e-5 || got[i].Tokens != tokens || got[i].Truncated != (tokens == 64) {
			t.Fatalf("text %d: %+v, want %v", i, got[i], want)
		}
	}
	for range cap(m.runners) {
		r := <-m.runners
		if cap(r.out) > budget*2 || cap(r.feeds[0].(*feedOf[int64]).data) > budget {
			t.Errorf("buffers of %d and %d numbers, want at most %d tokens", cap(r.out), cap(r.feeds[0].(*feedOf[int64]).data), budget)
		}
		defer func() { m.runners <- r }()
	}
}

// Identical vectors, to the last bit, whatever stands beside a text.
func TestBatchInvariant(t *testing.T) {
	m, err := Open(Installed(miniLM), WithBatchInvariant(true))
	if err != nil {
		t.Fatalf("%v\nRun `make setup`.", err)
	}
	defer m.Close()
	if !m.BatchInvariant() || openMiniLM(t).BatchInvariant() {
		t.Error("BatchInvariant")
	}
	texts := variedTexts(20)
	all, err := m.Transform(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		one, err := m.Transform(t.Context(), []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if distance(one[0].Values, all[i].Values) != 0 {
			t.Errorf("text %d differs", i)
		}
	}
}

// Cancelling one call does not touch the others.
func TestCancelOneOfMany(t *testing.T) {
	m, err := Open(Installed(miniLM))
	if err != nil {
		t.Fatalf("%v\nRun `make setup`.", err)
	}
	defer m.Close()
	texts := variedTexts(24)
	want, err := m.Transform(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				_, err := m.Transform(ctx, texts)
				if errors.Is(err, context.Canceled) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if w == 0 && i == 1 {
					cancel()
				}
			}
		})
	}
	for range 3 {
		got, err := m.Transform(t.Context(), texts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if d := distance(got[i].Values, want[i].Values); d > 1e-5 {
				t.Errorf("text %d differs by %g", i, d)
			}
		}
	}
	wg.Wait()
	cancel()
}

func TestEmbedInto(t *testing.T) {
	m := openMiniLM(t)
	texts := variedTexts(30)
	want, err := m.Transform(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]float32, len(texts)*m.Dim())
	if err := m.EmbedInto(t.Context(), dst, texts); err != nil {
		t.Fatal(err)
	}
	for i := range texts {
		if d := distance(dst[i*m.Dim():][:m.Dim()], want[i].Values); d != 0 {
			t.Errorf("text %d differs by %g", i, d)
		}
	}
	if err := m.EmbedInto(t.Context(), dst[1:], texts); err == nil || !strings.Contains(err.Error(), "embed: 11519 numbers cannot hold 30 vectors of 384") {
		t.Errorf("too short: %v", err)
	}

	// What failed leaves its place alone, and the others' are right.
	p := poisoned(t)
	dst = []float32{7, 7, 7, 7, 7, 7, 7, 7}
	err = p.EmbedInto(t.Context(), dst, []string{"a b", "x", "a y", "c"})
	if _, ok := errors.AsType[*stage.BatchError](err); !ok || distance(dst, []float32{0.5, 1, 7, 7, 7, 7, -3, 4}) > 1e-6 {
		t.Errorf("%v, %v", dst, err)
	}
}

// Beside the tokenizer's, allocations are some for each batch, none for each text.
func TestEmbedIntoAllocates(t *testing.T) {
	m, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs, inputMask), tinyFiles(), WithLatency())
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, 16)
	for i := range texts {
		texts[i] = strings.Repeat("a ", i)
	}
	dst := make([]float32, len(texts)*m.Dim())
	allocations := func(f func() error) float64 {
		return testing.AllocsPerRun(100, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		})
	}
	tokenizers := allocations(func() (err error) {
		for _, text := range texts {
			_, err = m.tokenizer.encode(text)
		}
		return err
	})
	ctx := context.Background() // one that can't end
	few := allocations(func() error { return m.EmbedInto(ctx, dst, texts) }) - tokenizers
	if few > 40 {
		t.Errorf("%.0f allocations beside the tokenizer's %.0f for %d texts in one batch", few, tokenizers, len(texts))
	}
	t.Logf("%.0f allocations a batch, %.1f a text in the tokenizer", few, tokenizers/float64(len(texts)))
}

// The same text is run once, and each place has a vector of its own.
func TestSameTexts(t *testing.T) {
	m, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs), tinyFiles())
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"a b", "c", "a b", "a b c c c", "c", "a b c c c"}
	j := job{model: m}
	if err := j.run(t.Context(), texts, nil); err != nil {
		t.Fatal(err)
	}
	if len(j.todo) != 3 {
		t.Errorf("%d texts were run, want 3", len(j.todo))
	}
	got, err := m.Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]float32{{0.5, 1}, {-3, 4}, {0.5, 1}, {-1.25, 2.5}, {-3, 4}, {-1.25, 2.5}} {
		if distance(got[i].Vector.Values, want) > 1e-6 || got[i].Truncated != (want[0] == -1.25) || got[i].Tokens == 0 {
			t.Errorf("text %d: %+v, want %v", i, got[i], want)
		}
	}
	got[0].Vector.Values[0] = 9
	if got[2].Vector.Values[0] != 0.5 {
		t.Error("two places share a vector")
	}

	p := poisoned(t)
	_, err = p.Transform(t.Context(), []string{"x", "a", "x"})
	if failed, ok := errors.AsType[*stage.BatchError](err); !ok || failed.Errs[0] == nil || failed.Errs[1] != nil || failed.Errs[2] == nil {
		t.Errorf("%v", err)
	}
}

// A tokenizer may have no token for what it does not know.
func TestTextWithoutTokensFailsAlone(t *testing.T) {
	files := tinyFiles()
	files["tokenizer.json"] = strings.Replace(tinyTokenizer, `"unk_token": "[UNK]"`, `"unk_token": "nothing"`, 1)
	m, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs), files)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Transform(t.Context(), []string{"a", "unheard-of", "c"})
	failed, ok := errors.AsType[*stage.BatchError](err)
	if !ok || failed.Errs[0] != nil || failed.Errs[2] != nil {
		t.Fatalf("%v", err)
	}
	if e := failed.Errs[1]; e == nil || !strings.Contains(e.Error(), "embed: the text's tokens: ") || !stage.IsPermanent(e) {
		t.Errorf("%v", e)
	}
	dst := []float32{7, 7, 7, 7}
	if err := m.EmbedInto(t.Context(), dst, []string{"a", "unheard-of"}); err == nil || !slices.Equal(dst, []float32{1, 0, 7, 7}) {
		t.Errorf("%v, %v", dst, err)
	}
	if out[1].Values != nil || distance(out[0].Values, []float32{1, 0}) != 0 || distance(out[2].Values, []float32{-3, 4}) != 0 {
		t.Errorf("%v", out)
	}
}

// More texts than are worked on at once.
func TestEmbedIntoOverWindows(t *testing.T) {
	m, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs), tinyFiles())
	if err != nil {
		t.Fatal(err)
	}
	texts, want := make([]string, 2*windowTexts+3), []float32(nil)
	for i := range texts {
		texts[i] = []string{"a", "b", "c", "a b"}[i%4]
		want = append(want, [][]float32{{1, 0}, {0, 2}, {-3, 4}, {0.5, 1}}[i%4]...)
	}
	dst := make([]float32, len(want))
	if err := m.EmbedInto(t.Context(), dst, texts); err != nil {
		t.Fatal(err)
	}
	if d := distance(dst, want); d > 1e-6 {
		t.Errorf("a number differs by %g", d)
	}
}
