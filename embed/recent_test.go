package embed

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

func TestRecent(t *testing.T) {
	c := newRecent(2)
	put := func(text string) {
		c.put(text, &result{values: []float32{float32(len(text))}, tokens: len(text), truncated: true})
	}
	has := func(text string, want bool) {
		t.Helper()
		var r result
		if got := c.get(text, &r); got != want || got && (r.values[0] != float32(len(text)) || r.tokens != len(text) || !r.truncated) {
			t.Errorf("%q: %t, %+v, want %t", text, got, r, want)
		}
	}
	has("a", false)
	put("a")
	put("bb")
	put("a") // again
	has("a", true)
	put("ccc") // the oldest is bb
	has("bb", false)
	has("a", true)
	has("ccc", true)
	c.put("failed", &result{err: fmt.Errorf("failed")})
	has("failed", false)
	if len(c.texts) != 2 || c.order.Len() != 2 {
		t.Errorf("%d and %d texts, want 2", len(c.texts), c.order.Len())
	}

	into := result{values: make([]float32, 1)}
	memory := &into.values[0]
	if !c.get("a", &into) || &into.values[0] != memory {
		t.Error("not in the memory given")
	}
	into.values[0] = 9
	has("a", true) // and not 9

	var none *recent
	none.put("a", &into)
	if none.get("a", &into) {
		t.Error("none has something")
	}
}

func TestWithRecent(t *testing.T) {
	m, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs), tinyFiles(), WithRecent(5))
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"a b", "c", "a b", "a b c c c"}
	want, err := m.Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	j := job{model: m}
	for _, again := range [][]string{texts, {"c"}, {"c", "c", "b"}} {
		if j.take(again, nil); len(j.todo) > 1 || len(again) != 3 && len(j.todo) != 0 {
			t.Errorf("%q: %d texts would be run", again, len(j.todo))
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				got, err := m.Embed(t.Context(), append(texts, strings.Repeat("b", 3)))
				if err != nil {
					t.Error(err)
					return
				}
				for i := range want {
					if distance(got[i].Vector.Values, want[i].Vector.Values) != 0 || got[i].Tokens != want[i].Tokens || got[i].Truncated != want[i].Truncated {
						t.Errorf("text %d: %+v, want %+v", i, got[i], want[i])
					}
				}
			}
		})
	}
	wg.Wait()
}
