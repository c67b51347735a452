package corpus_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/examples/tweets/internal/corpus"
)

// unfinished makes a prepared folder one whose preparation was killed before
// its end.
func unfinished(t *testing.T, c *corpus.Corpus) {
	t.Helper()
	m := c.Manifest
	m.Partial = true
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "corpus.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A crash may leave the vectors' file cut anywhere, with rubbish after the cut.
func TestPrepareMendsATornEnd(t *testing.T) {
	all, m, dir := posts(100), newHashes("a"), t.TempDir()
	c := mustPrepare(t, archiveOf(t, all), dir, m, 4)
	path := filepath.Join(dir, "vectors")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole)%len(all) != 0 {
		t.Fatalf("%d bytes for %d vectors of equal length", len(whole), len(all))
	}
	each := len(whole) / len(all)

	const seed = 3
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	cuts := []int{0, 1, each - 1, each, len(whole) - 1, len(whole)}
	for range 20 {
		cuts = append(cuts, r.IntN(len(whole)))
	}
	for i, cut := range cuts {
		torn := bytes.Clone(whole[:cut])
		switch i % 3 {
		case 1: // blocks that the file system had reserved and not written
			torn = append(torn, make([]byte, r.IntN(4096))...)
		case 2:
			for range r.IntN(4096) {
				torn = append(torn, byte(r.Uint32()))
			}
		}
		unfinished(t, c)
		if err := os.WriteFile(path, torn, 0o644); err != nil {
			t.Fatal(err)
		}
		m.count(t)
		c = mustPrepare(t, archiveOf(t, all), dir, m, 4)
		if n, want := m.count(t), len(all)-cut/each; n != want {
			t.Errorf("cut at byte %d of %d: embedded %d texts, want %d", cut, len(whole), n, want)
		}
		checkWhole(t, c, all, m, 4)
		if t.Failed() {
			t.Fatalf("cut at byte %d, %d bytes in the file", cut, len(torn))
		}
	}
}

// What stands before a changed vector is kept, the rest is made again.
func TestPrepareMendsAChangedByte(t *testing.T) {
	all, m, dir := posts(100), newHashes("a"), t.TempDir()
	c := mustPrepare(t, archiveOf(t, all), dir, m, 4)
	path := filepath.Join(dir, "vectors")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const seed = 5
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	each := len(whole) / len(all)
	head := 8 + len(all[0].ID)
	for range 20 {
		at := r.IntN(len(all))*each + head + r.IntN(each-head)
		changed := bytes.Clone(whole)
		changed[at] ^= 1 << r.IntN(8)
		unfinished(t, c)
		if err := os.WriteFile(path, changed, 0o644); err != nil {
			t.Fatal(err)
		}
		m.count(t)
		c = mustPrepare(t, archiveOf(t, all), dir, m, 4)
		if n, want := m.count(t), len(all)-at/each; n != want {
			t.Errorf("byte %d of %d changed: embedded %d texts, want %d", at, len(whole), n, want)
		}
		checkWhole(t, c, all, m, 4)
		if t.Failed() {
			t.Fatalf("byte %d changed", at)
		}
	}
}

// Reading a corpus that is in use must not shorten or lengthen its file.
func TestItemsOnlyReads(t *testing.T) {
	all, m, dir := posts(10), newHashes("a"), t.TempDir()
	c := mustPrepare(t, archiveOf(t, all), dir, m, 4)
	before := files(t, dir)
	if _, err := c.Items(); err != nil {
		t.Fatal(err)
	}
	if after := files(t, dir); before["vectors"] != after["vectors"] {
		t.Error("the vectors' file has changed")
	}
	path := filepath.Join(dir, "vectors")
	if err := os.Truncate(path, int64(len(before["vectors"])-1)); err != nil {
		t.Fatal(err)
	}
	if items, err := c.Items(); err == nil || !strings.Contains(err.Error(), "9 whole vectors of 10") {
		t.Errorf("%d items of a file cut short, and the error %v", len(items), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if items, err := c.Items(); err == nil {
		t.Errorf("%d items of a file that is gone, and no error", len(items))
	}
}
