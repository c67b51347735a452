package archive_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/millrace-go/millrace/benchmarks/internal/archive"
)

const posts = `[
	{"text": "A &amp; B  https://a.bc/d"}, {"text": "A &amp; B"}, {"text": "not his", "is_retweet": true},
	{"text": "RT @x: nor this"}, {"text": "https://a.bc/d"}, {"text": "C"}, {"text": "D"}, {"text": "E"}
]`

func TestTexts(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(posts)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"posts.json": []byte(posts), "posts.json.gz": zipped.Bytes()} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for n, want := range map[int][]string{2: {"A & B", "D"}, 4: {"A & B", "C", "D", "E"}, 9: {"A & B", "C", "D", "E"}} {
			got, err := archive.Texts(file, n)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%d of %s: %q, %v, want %q", n, name, got, err, want)
			}
		}
	}
}
