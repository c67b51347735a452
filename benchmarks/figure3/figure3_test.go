package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/similarity"
)

// All of it, small: every system gives the same answers, or run fails.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	err := run(t.Context(), []string{"-rows", "1000", "-dim", "24", "-sizes", "4,12", "-rounds", "2", "-questions", "2", "-out", dir}, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n| 4 |", "\n| 12 |", "\n| 24 |", "| 100.0 % | 100.0 % |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out.String())
		}
	}
	picture, err := os.ReadFile(filepath.Join(dir, "figure3.svg"))
	if err != nil || !bytes.Contains(picture, []byte("pgvector")) || !bytes.Contains(picture, []byte("</svg>")) {
		t.Errorf("%d bytes, %v", len(picture), err)
	}
	if rows, err := os.ReadFile(filepath.Join(dir, "figure3.json")); err != nil || bytes.Count(rows, []byte(`"case"`)) != 15 {
		t.Errorf("%s, %v", rows, err)
	}
}

func TestKept(t *testing.T) {
	hits := func(ids string) (all []similarity.Hit) {
		for _, id := range ids {
			all = append(all, similarity.Hit{ID: string(id)})
		}
		return all
	}
	first, recall := kept([][]similarity.Hit{hits("abcdefghij"), hits("bacdefghxy")}, [][]similarity.Hit{hits("abcdefghij"), hits("abcdefghij")})
	if first != 0.5 || recall != 0.9 {
		t.Errorf("kept %v and %v", first, recall)
	}
}

func TestSame(t *testing.T) {
	a := []similarity.Hit{{ID: "a", Distance: 1}, {ID: "b", Distance: 2}}
	if err := same(a, a); err != nil {
		t.Error(err)
	}
	for _, b := range [][]similarity.Hit{a[:1], {{ID: "a", Distance: 1}, {ID: "c", Distance: 2.0000001}}, {{ID: "a", Distance: 1.1}, a[1]}} {
		if same(b, a) == nil {
			t.Errorf("%v is the same as %v", b, a)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"x"}, {"-rows", "10"}, {"-sizes", "10,5"}, {"-sizes", "0"}, {"-questions", "0"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
