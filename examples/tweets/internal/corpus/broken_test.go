package corpus_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/examples/tweets/internal/corpus"
)

func TestPrepareRefusesSizes(t *testing.T) {
	for _, size := range []int{-1, 0, 16, 17} {
		m, dir := newHashes("a"), filepath.Join(t.TempDir(), "none")
		_, err := prepare(t.Context(), archiveOf(t, posts(50)), dir, m, 4, size)
		if err == nil || !strings.Contains(err.Error(), "from 1 to 15") {
			t.Errorf("size %d: %v", size, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("size %d: a folder was made before the size was looked at", size)
		}
		if n := m.count(t); n > 0 {
			t.Errorf("size %d: embedded %d texts", size, n)
		}
	}
}

// Embedding takes minutes, so what cannot be is said before.
func TestPrepareRefusesMoreDimensionsThanPosts(t *testing.T) {
	m, dir := newHashes("a"), t.TempDir()
	_, err := prepare(t.Context(), archiveOf(t, posts(10)), dir, m, 4, 12)
	if err == nil || !strings.Contains(err.Error(), "12 dimensions") || !strings.Contains(err.Error(), "10 posts") {
		t.Errorf("error %v", err)
	}
	if n := m.count(t); n > 0 {
		t.Errorf("embedded %d texts first", n)
	}
	mustPrepare(t, archiveOf(t, posts(10)), dir, m, 4, 10)
	// And once more where the corpus is there already.
	if _, err := prepare(t.Context(), archiveOf(t, posts(10)), dir, m, 12); err == nil || !strings.Contains(err.Error(), "10 posts") {
		t.Errorf("added to a whole corpus: %v", err)
	}
}

func TestPrepareRefusesArchives(t *testing.T) {
	const ok = `{"id_str":"1","text":"one","created_at":"Tue Jan 20 12:00:00 +0000 2015"}`
	boom := errors.New("disk on fire")
	for name, c := range map[string]struct {
		archive corpus.Archive
		want    []string
	}{
		"broken JSON":        {archiveOfText("[\n" + ok + ",\n" + `{"id_str":"2",,}` + "\n]"), []string{"test.json", "line 3"}},
		"cut short":          {archiveOfText("[\n" + ok + ",\n"), []string{"test.json", "line 3", "cut short"}},
		"no date":            {archiveOfText("[\n\n\n" + `{"id_str":"2","text":"x"}]`), []string{"test.json", "line 4", "created_at"}},
		"no array":           {archiveOfText(`"posts"`), []string{"test.json", "line 1"}},
		"empty":              {archiveOfText(""), []string{"test.json", "empty"}},
		"nothing left":       {archiveOfText(`[{"id_str":"1","text":"https://t.co/x","created_at":"Tue Jan 20 12:00:00 +0000 2015"}]`), []string{"test.json", "no post is left"}},
		"cannot be opened":   {corpus.Archive{Name: "test.json", Open: func() (io.ReadCloser, error) { return nil, boom }}, []string{"archive", "disk on fire"}},
		"cannot be read":     {corpus.Archive{Name: "test.json", Open: func() (io.ReadCloser, error) { return io.NopCloser(failing{boom}), nil }}, []string{"test.json", "disk on fire"}},
		"broken gzip header": {archiveOfText("\x1f\x8bxx"), []string{"test.json", "gzip"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, m := t.TempDir(), newHashes("a")
			_, err := prepare(t.Context(), c.archive, dir, m, 4)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one with %q", err, want)
				}
			}
			if _, err := corpus.Open(dir); !errors.Is(err, corpus.ErrNotPrepared) {
				t.Errorf("what is left opens with %v", err)
			}
			// The mended archive goes into the same folder.
			all := posts(20)
			checkWhole(t, mustPrepare(t, archiveOf(t, all), dir, m, 4), all, m, 4)
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A failed attempt at another archive must leave a corpus whole or gone, never
// half of each.
func TestPrepareFailsBesideAWholeCorpus(t *testing.T) {
	all, m, dir := posts(20), newHashes("a"), t.TempDir()
	mustPrepare(t, archiveOf(t, all), dir, m, 4)
	if _, err := prepare(t.Context(), archiveOfText("[\n{]"), dir, m, 4); err == nil {
		t.Fatal("broken JSON is no error")
	}
	c, err := corpus.Open(dir)
	if errors.Is(err, corpus.ErrNotPrepared) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	checkWhole(t, c, all, m, 4)
}

func TestOpenSaysWhichFileIsBroken(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "corpus.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := corpus.Open(dir); err == nil || !strings.Contains(err.Error(), "corpus.json") {
		t.Errorf("error %v", err)
	}
}
