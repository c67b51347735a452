package corpus_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/examples/tweets/internal/corpus"
	"github.com/millrace-go/millrace/examples/tweets/internal/progress"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// hashes stands in for a model: a text's vector is made of its hash.
type hashes struct {
	space string
	dim   int
	begun func() // called before each batch

	mu       sync.Mutex
	embedded map[string]int // how often each text was embedded
}

func newHashes(space string) *hashes {
	return &hashes{space: space, dim: 16, embedded: map[string]int{}}
}

func (h *hashes) Space() string { return h.space }
func (h *hashes) Dim() int      { return h.dim }

func (h *hashes) Transform(_ context.Context, in []string) ([]vector.Vector, error) {
	if h.begun != nil {
		h.begun()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]vector.Vector, len(in))
	for i, text := range in {
		h.embedded[text]++
		out[i] = h.of(text)
	}
	return out, nil
}

func (h *hashes) of(text string) vector.Vector {
	sum := sha256.Sum256([]byte(h.space + text))
	v := vector.Vector{Space: h.space, Values: make([]float32, h.dim)}
	for i := range v.Values {
		v.Values[i] = float32(sum[i])/128 - 1
	}
	return v
}

// count is how many texts were embedded since the last count. Embedding one
// twice in between is an error.
func (h *hashes) count(t *testing.T) int {
	t.Helper()
	n := 0
	for text, times := range h.embedded {
		if times != 1 {
			t.Errorf("%q was embedded %d times", text, times)
		}
		n += times
	}
	clear(h.embedded)
	return n
}

// post is an entry of an archive. All IDs and texts of a test have the same
// length, so that all records of the vectors' file have.
type post struct {
	ID   string `json:"id_str"`
	Text string `json:"text"`
	Date string `json:"created_at"`
}

func posts(n int) []post {
	all := make([]post, n)
	for i := range all {
		all[i] = post{fmt.Sprintf("id%04d", i), fmt.Sprintf("post number %04d", i), "Tue Jan 20 12:00:00 +0000 2015"}
	}
	return all
}

func archiveOf(t *testing.T, all []post) corpus.Archive {
	t.Helper()
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return archiveOfText(string(b))
}

func archiveOfText(s string) corpus.Archive {
	return corpus.Archive{Name: "test.json", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(s)), nil
	}}
}

func prepare(ctx context.Context, a corpus.Archive, dir string, m corpus.Model, sizes ...int) (*corpus.Corpus, error) {
	return corpus.Prepare(ctx, a, dir, m, sizes, progress.To(io.Discard), slog.New(slog.DiscardHandler))
}

func mustPrepare(t *testing.T, a corpus.Archive, dir string, m corpus.Model, sizes ...int) *corpus.Corpus {
	t.Helper()
	c, err := prepare(t.Context(), a, dir, m, sizes...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checkWhole holds all that a corpus has to what it was made of.
func checkWhole(t *testing.T, c *corpus.Corpus, all []post, m *hashes, sizes ...int) {
	t.Helper()
	opened, err := corpus.Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(opened, c) {
		t.Errorf("opened %+v, prepared %+v", opened, c)
	}
	if !slices.Equal(c.Sizes, sizes) {
		t.Errorf("sizes %v, want %v", c.Sizes, sizes)
	}
	if c.Space != m.space || c.Dims != m.dim || c.Stats.Kept != len(all) {
		t.Errorf("manifest %+v, want space %s, %d dimensions, %d posts", c.Manifest, m.space, m.dim, len(all))
	}
	texts := map[string]string{}
	want := map[string]vector.Vector{}
	for _, p := range all {
		texts[p.ID] = p.Text
		want[p.ID] = m.of(p.Text)
	}

	got, err := c.Posts()
	if err != nil {
		t.Fatal(err)
	}
	gotTexts := map[string]string{}
	for id, p := range got {
		gotTexts[id] = p.Text
	}
	if !maps.Equal(gotTexts, texts) {
		t.Errorf("%d posts, not the %d of the archive", len(got), len(all))
	}

	items, err := c.Items()
	if err != nil {
		t.Fatal(err)
	}
	vectors := map[string]vector.Vector{}
	for _, it := range items {
		vectors[it.ID] = it.Vector
	}
	if len(items) != len(all) || !reflect.DeepEqual(vectors, want) {
		t.Errorf("%d vectors, not those of the %d posts", len(items), len(all))
	}

	for _, n := range append([]int{0}, sizes...) {
		checkSize(t, c, n, all[len(all)/2], items)
	}
}

// checkSize asks the index of a size for a post itself.
func checkSize(t *testing.T, c *corpus.Corpus, size int, p post, items []similarity.Item) {
	t.Helper()
	index, err := c.Index(size)
	if err != nil {
		t.Fatal(err)
	}
	pca, err := c.PCA(size)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(items, func(it similarity.Item) bool { return it.ID == p.ID })
	query := []vector.Vector{items[i].Vector}
	dims := c.Dims
	if size > 0 {
		dims = size
		if query, err = pca.Transform(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	} else if pca != nil {
		t.Error("there is a PCA to no dimensions")
	}
	hits, err := index.Nearest(t.Context(), query, 1)
	if err != nil {
		t.Fatal(err)
	}
	if index.Len() != len(items) || index.Dim() != dims || hits[0][0] != (similarity.Hit{ID: p.ID}) {
		t.Errorf("index of size %d: %d items of %d dimensions, nearest to %s: %+v", size, index.Len(), index.Dim(), p.ID, hits[0])
	}
}

func TestPrepare(t *testing.T) {
	all, m, dir := posts(400), newHashes("a"), filepath.Join(t.TempDir(), "new", "folder")
	if _, err := corpus.Open(dir); !errors.Is(err, corpus.ErrNotPrepared) {
		t.Errorf("a folder that is not there opens with %v", err)
	}
	c := mustPrepare(t, archiveOf(t, all), dir, m, 4, 8)
	checkWhole(t, c, all, m, 4, 8)
	if n := m.count(t); n != 400 {
		t.Errorf("embedded %d texts, want 400", n)
	}

	before := files(t, dir)
	c = mustPrepare(t, archiveOf(t, all), dir, m, 8)
	checkWhole(t, c, all, m, 4, 8)
	if n := m.count(t); n != 0 {
		t.Errorf("the second time embedded %d texts", n)
	}
	if after := files(t, dir); !maps.Equal(before, after) {
		t.Errorf("the second time changed files:\n%v\n%v", before, after)
	}
}

// files gives the contents of a folder's files.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(b)
	}
	return all
}

func TestPrepareAddsOnlyTheSizeThatIsMissing(t *testing.T) {
	all, m, dir := posts(50), newHashes("a"), t.TempDir()
	mustPrepare(t, archiveOf(t, all), dir, m, 8)
	m.count(t)
	before := files(t, dir)
	c := mustPrepare(t, archiveOf(t, all), dir, m, 8, 4)
	checkWhole(t, c, all, m, 4, 8)
	if n := m.count(t); n != 0 {
		t.Errorf("embedded %d texts for another size", n)
	}
	after := files(t, dir)
	for name, content := range before {
		if name != "corpus.json" && after[name] != content {
			t.Errorf("%s has changed", name)
		}
	}
	if len(after) != len(before)+2 {
		t.Errorf("files %v, want two more than %v", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
	}
	if _, err := c.Index(5); err == nil || !strings.Contains(err.Error(), "prepare -sizes 5") {
		t.Errorf("index of a size nobody asked for: %v", err)
	}
	if _, err := c.PCA(5); err == nil || !strings.Contains(err.Error(), "prepare -sizes 5") {
		t.Errorf("PCA of a size nobody asked for: %v", err)
	}
}

func TestPrepareMakesABrokenSizeAgain(t *testing.T) {
	all, m, dir := posts(50), newHashes("a"), t.TempDir()
	mustPrepare(t, archiveOf(t, all), dir, m, 4, 8)
	m.count(t)
	if err := os.WriteFile(filepath.Join(dir, "pca-8"), []byte("of a version that nobody reads"), 0o644); err != nil {
		t.Fatal(err)
	}
	checkWhole(t, mustPrepare(t, archiveOf(t, all), dir, m, 8), all, m, 4, 8)
	if n := m.count(t); n != 0 {
		t.Errorf("embedded %d texts again", n)
	}
}

func TestPrepareWithoutSizes(t *testing.T) {
	all, m := posts(3), newHashes("a")
	checkWhole(t, mustPrepare(t, archiveOf(t, all), t.TempDir(), m), all, m)
}

func TestPrepareBeginsAnewForAnotherModel(t *testing.T) {
	all, dir := posts(50), t.TempDir()
	mustPrepare(t, archiveOf(t, all), dir, newHashes("a"), 4, 8)
	m := newHashes("b")
	c := mustPrepare(t, archiveOf(t, all), dir, m, 4)
	checkWhole(t, c, all, m, 4)
	if n := m.count(t); n != 50 {
		t.Errorf("embedded %d of 50 texts", n)
	}
}

// A post that was edited keeps its ID, so the old vector would pass for its.
func TestPrepareBeginsAnewForAnotherArchive(t *testing.T) {
	for _, interrupted := range []bool{false, true} {
		t.Run(fmt.Sprintf("interrupted=%v", interrupted), func(t *testing.T) {
			all, m, dir := posts(50), newHashes("a"), t.TempDir()
			mustPrepare(t, archiveOf(t, all), dir, m, 4)
			if interrupted {
				interrupt(t, dir, posts(4000))
			}
			m.count(t)
			other := posts(60)[20:]
			other[0].Text = "edited since then"
			c := mustPrepare(t, archiveOf(t, other), dir, m, 4)
			checkWhole(t, c, other, m, 4)
			if n := m.count(t); n != 40 {
				t.Errorf("embedded %d of 40 texts", n)
			}
		})
	}
}

// interrupt begins to prepare a folder and stops in the middle; it returns how
// many posts were embedded.
func interrupt(t *testing.T, dir string, all []post) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := newHashes("a")
	m.begun = cancel // what is in the stage is still finished
	_, err := prepare(ctx, archiveOf(t, all), dir, m, 4)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	n := m.count(t)
	if n == 0 || n >= len(all) {
		t.Fatalf("interrupted after %d of %d posts", n, len(all))
	}
	if want := fmt.Sprintf("%d of %d", n, len(all)); !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not say %q", err, want)
	}
	if _, err := corpus.Open(dir); !errors.Is(err, corpus.ErrNotPrepared) {
		t.Errorf("an interrupted corpus opens with %v", err)
	}
	return n
}

func TestPrepareGoesOnAfterAnInterruption(t *testing.T) {
	all, m, dir := posts(4000), newHashes("a"), t.TempDir()
	first := interrupt(t, dir, all)
	c := mustPrepare(t, archiveOf(t, all), dir, m, 4)
	checkWhole(t, c, all, m, 4)
	if n := m.count(t); n != len(all)-first {
		t.Errorf("embedded %d and then %d of %d posts", first, n, len(all))
	}
}
