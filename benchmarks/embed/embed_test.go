package main

import (
	"bytes"
	"compress/gzip"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const archive = `[
	{"text": "A &amp; B  https://a.bc/d"}, {"text": "A &amp; B"}, {"text": "not his", "is_retweet": true},
	{"text": "RT @x: nor this"}, {"text": "https://a.bc/d"}, {"text": "C"}, {"text": "D"}, {"text": "E"}
]`

func TestTweets(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(archive)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"posts.json": []byte(archive), "posts.json.gz": zipped.Bytes()} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for n, want := range map[int][]string{2: {"A & B", "D"}, 4: {"A & B", "C", "D", "E"}, 9: {"A & B", "C", "D", "E"}} {
			got, err := tweets(file, n)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%d of %s: %q, %v, want %q", n, name, got, err, want)
			}
		}
	}
}

// What is not equal is never close.
func TestDistance(t *testing.T) {
	a := [][]float32{{1, 2}, {3, 4}}
	for _, c := range []struct {
		b    [][]float32
		want float64
	}{
		{a, 0},
		{[][]float32{{1, 2}, {3, 4.5}}, 0.5},
		{a[:1], math.Inf(1)},
		{[][]float32{{1, 2}, {3}}, math.Inf(1)},
	} {
		if got := distance(a, c.b); got != c.want {
			t.Errorf("%v: %v, want %v", c.b, got, c.want)
		}
	}
	if got := distance(nil, nil); !math.IsInf(got, 1) {
		t.Errorf("nothing at all: %v", got)
	}
	nan := float32(math.NaN())
	if got := distance([][]float32{{nan}}, [][]float32{{1}}); got < 1 {
		t.Errorf("not a number: %v", got)
	}
}
