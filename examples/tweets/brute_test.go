package main

import (
	"cmp"
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/examples/tweets/internal/corpus"
	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
	"github.com/millrace-go/millrace/similarity"
)

// sentences are ours: on what politicians write about, and on what they do not.
func sentences() []string {
	return []string{
		"A wall along the river keeps the water out",
		"Taxes on imports are far too high",
		"The newspapers never print what I said",
		"Thank you to everybody who came to the rally last night",
		"My opponent has been asleep for years",
		"Our farmers and fishermen deserve a better deal",
		"Happy birthday to a wonderful friend!",
		"WHO LET THIS HAPPEN???",
		"The cat sleeps on the warm kitchen floor",
		"Ein Satz, den kein Präsident je geschrieben hat 🧀",
	}
}

// The app's answers are those of the definition: the distance to every tweet,
// one by one, in float64.
func TestAnswersAreThoseOfBruteForce(t *testing.T) {
	t.Parallel()
	t.Run("sample", func(t *testing.T) {
		t.Parallel()
		compare(t, "-data", sampleData(t))
	})
	t.Run("archive", func(t *testing.T) {
		archive := os.Getenv("ARCHIVE")
		if archive == "" {
			t.Skip("no real archive; `ARCHIVE=file make test` compares on one, too")
		}
		t.Parallel()
		// Minutes, the first time; then it is found in the cache.
		if out, err := exec.CommandContext(t.Context(), program, "prepare", "-archive", archive).CombinedOutput(); err != nil {
			t.Fatalf("prepare %s: %v\n%s", archive, err, out)
		}
		compare(t, "-archive", archive)
	})
}

// compare asks the app with the given flags for the five nearest, at the full
// dimensions, which is 0, and at 150.
func compare(t *testing.T, flags ...string) {
	t.Helper()
	for _, dims := range []string{"0", "150"} {
		t.Run("dims "+dims, func(t *testing.T) {
			flags := slices.Concat(flags, []string{"-dims", dims, "-k", "5", "-json"})
			want := bruteForce(t, flags)
			code, out, messages := runApp(t, strings.Join(sentences(), "\n"), flags...)
			if code != 0 || len(out) != len(want) {
				t.Fatalf("exit code %d, %d answers to %d sentences\n%s", code, len(out), len(want), messages)
			}
			for i, line := range out {
				var a flow.Answer
				if err := json.Unmarshal([]byte(line), &a); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				checkHits(t, sentences()[i], a, want[i])
			}
		})
	}
}

func checkHits(t *testing.T, sentence string, got flow.Answer, want []similarity.Hit) {
	t.Helper()
	if got.Question != sentence || len(got.Hits) != len(want) {
		t.Fatalf("%d hits for %q, want %d for %q", len(got.Hits), got.Question, len(want), sentence)
	}
	for i, h := range got.Hits {
		// The sums are not added up in the same order.
		if h.ID != want[i].ID || math.Abs(h.Distance-want[i].Distance) > 1e-9 {
			t.Errorf("%q: hit %d is %s at %v, by brute force %s at %v", sentence, i+1, h.ID, h.Distance, want[i].ID, want[i].Distance)
		}
	}
}

// bruteForce finds the nearest tweets to each sentence in what the app with
// these flags would search, by the definition and nothing else.
func bruteForce(t *testing.T, flags []string) [][]similarity.Hit {
	t.Helper()
	a := &app{}
	if err := a.parse(flags, io.Discard); err != nil {
		t.Fatal(err)
	}
	c, err := a.found()
	if err != nil {
		t.Fatal(err)
	}
	items, err := c.Items()
	if err != nil {
		t.Fatal(err)
	}
	queries := embedded(t, a.modelDir())
	if a.dims > 0 {
		pca, err := c.PCA(a.dims)
		if err != nil {
			t.Fatal(err)
		}
		if items, err = corpus.Reduce(t.Context(), pca, items); err != nil {
			t.Fatal(err)
		}
		if queries, err = corpus.Reduce(t.Context(), pca, queries); err != nil {
			t.Fatal(err)
		}
	}
	nearest := make([][]similarity.Hit, len(queries))
	for i, q := range queries {
		all := make([]similarity.Hit, len(items))
		for j, item := range items {
			sum := 0.0
			for n, v := range item.Vector.Values {
				d := float64(q.Vector.Values[n]) - float64(v)
				sum += d * d
			}
			all[j] = similarity.Hit{ID: item.ID, Distance: math.Sqrt(sum)}
		}
		slices.SortFunc(all, func(a, b similarity.Hit) int {
			return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.ID, b.ID))
		})
		nearest[i] = all[:a.k]
	}
	return nearest
}

// embedded are the sentences with their vectors. Each is embedded alone, as
// the prompt asks: in company, a vector's last bits may differ.
func embedded(t *testing.T, model string) []similarity.Item {
	t.Helper()
	m, err := embed.Open(model, embed.WithLatency())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	var items []similarity.Item
	for _, s := range sentences() {
		v, err := m.Transform(t.Context(), []string{s})
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, similarity.Item{ID: s, Vector: v[0]})
	}
	return items
}
