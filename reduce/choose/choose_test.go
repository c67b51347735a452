package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/internal/npy"
	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/reduce/report"
)

// values are n vectors of 8 values, row after row.
func values(n int) []float64 {
	rng := rand.New(rand.NewPCG(1, 0))
	v := make([]float64, 8*n)
	for i := range v {
		v[i] = rng.NormFloat64() / float64(1+i%8)
	}
	return v
}

func numpyFile(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	name := filepath.Join(t.TempDir(), "vectors.npy")
	if err := errors.Join(npy.Write(&b, values(n), n, 8), os.WriteFile(name, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	return name
}

func lines(t *testing.T, n int, format string) string {
	t.Helper()
	var b strings.Builder
	v := values(n)
	for i := range n {
		list, err := json.Marshal(v[8*i : 8*i+8])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, format+"\n", list)
	}
	return b.String()
}

func choose(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, strings.NewReader(in), &out, io.Discard)
	return out.String(), err
}

// All forms of a file give the same report.
func TestReport(t *testing.T) {
	flags := []string{"-sizes", "2, 8", "-k", "3", "-json"}
	want, err := choose(t, "", append(flags, numpyFile(t, 200))...)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal([]byte(want), &r); err != nil || r.Dim != 8 || r.K != 3 || r.Vectors != 180 || len(r.Sizes) != 2 || r.Sizes[1].Recall != 1 {
		t.Fatalf("%s, %v", want, err)
	}
	for _, format := range []string{"%s", `{"space": "s", "values": %s}`, "\n  %s"} {
		if got, err := choose(t, lines(t, 200, format), append(flags, "-")...); err != nil || got != want {
			t.Errorf("lines %s: %s, %v", format, got, err)
		}
	}
	table, err := choose(t, "", numpyFile(t, 200))
	if err != nil || !strings.Contains(table, "| components |") || !strings.Contains(table, "\n| 8 | 32 | 100.0 % |") {
		t.Errorf("%s, %v", table, err)
	}
}

func TestPicture(t *testing.T) {
	file := numpyFile(t, 300)
	name := filepath.Join(t.TempDir(), "sizes.png")
	if _, err := choose(t, "", "-picture", name, file); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	colours := map[any]bool{}
	for x := range image.Bounds().Dx() {
		for y := range image.Bounds().Dy() {
			colours[image.At(x, y)] = true
		}
	}
	if image.Bounds().Dx() < 1000 || len(colours) < 50 {
		t.Errorf("a picture of %v with %d colours", image.Bounds(), len(colours))
	}
	name = filepath.Join(t.TempDir(), "sizes.svg")
	if _, err := choose(t, "", "-picture", name, file); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	for _, want := range []string{"10 nearest kept", "variance kept", "reconstruction error", "refined: median", "</svg>"} {
		if err != nil || !bytes.Contains(b, []byte(want)) {
			t.Errorf("no %q in %d bytes, %v", want, len(b), err)
		}
	}
}

func TestSave(t *testing.T) {
	file, dir := numpyFile(t, 100), t.TempDir()
	out, err := choose(t, "", "-save", dir+"/pca", "-size", "3", "-space", "model", file)
	if err != nil || !strings.Contains(out, "8 values to 3 components") {
		t.Fatalf("%s, %v", out, err)
	}
	p, err := reduce.LoadFile(dir + "/pca")
	if err != nil || p.InputSpace() != "model" || p.Count() != 100 {
		t.Fatal(err)
	}
	if _, err := choose(t, "", "-save", dir+"/pca.npz", "-variance", "0.9", file); err != nil {
		t.Fatal(err)
	}
	q, err := reduce.LoadNPZ(dir+"/pca.npz", "model")
	if err != nil || q.Components() < 2 || q.Components() > 7 {
		t.Fatal(err)
	}
	// Lines may name their space themselves.
	if _, err := choose(t, lines(t, 50, `{"space": "theirs", "values": %s}`), "-save", dir+"/own", "-size", "1", "-"); err != nil {
		t.Fatal(err)
	}
	if p, err = reduce.LoadFile(dir + "/own"); err != nil || p.InputSpace() != "theirs" {
		t.Errorf("%v", err)
	}
}

func TestErrors(t *testing.T) {
	file := numpyFile(t, 100)
	flat := filepath.Join(t.TempDir(), "flat.npy")
	var b bytes.Buffer
	if err := errors.Join(npy.Write(&b, []float64{1, 2}, 2), os.WriteFile(flat, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		in   string
		args []string
		want string
	}{
		{"", nil, "one file of vectors"},
		{"", []string{file, "-k", "3"}, "flags go before it"},
		{"", []string{"-sizes", "3,x", file}, `"x" is no number`},
		{"", []string{"-sizes", "9", file}, "from 1 to 8"},
		{"", []string{"-picture", "x.gif", file}, ".png or .svg"},
		{"", []string{"-size", "3", file}, "use -sizes"},
		{"", []string{"-save", "x", file}, "needs -size or -variance"},
		{"", []string{"-save", "x", "-size", "1", "-variance", "0.5", file}, "not both"},
		{"", []string{"-save", "x", "-size", "1", file}, "name it by -space"},
		{"", []string{"nowhere.npy"}, "no such file"},
		{"", []string{flat}, "of shape [2]"},
		{"", []string{"-"}, "no vectors in it"},
		{"[1, 2]\n\n[1]", []string{"-"}, "line 3: vector: of 1 values where 2"},
		{"[1]\n[1", []string{"-"}, "line 2: neither"},
		{`{"values": [1]}` + "\n" + `{"space": "x", "values": [1]}`, []string{"-"}, `line 2: vector: of space "x"`},
		{"[1e39]", []string{"-"}, "line 1"},
		{"[1, 2]\n", []string{"-"}, "too few"},
	} {
		if out, err := choose(t, c.in, c.args...); err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
			t.Errorf("%q: printed %q, error %v, want one with %q", c.args, out, err, c.want)
		}
	}
	if _, err := choose(t, "", "-h"); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{file}, nil, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add("[1, 2]\n\n[3, 4]")
	f.Add(`{"space": "x", "values": [1]}`)
	f.Add("\x93NUMPY\x01\x00")
	f.Fuzz(func(t *testing.T, text string) {
		vectors, err := read("-", strings.NewReader(text), "")
		if err != nil {
			return
		}
		for i, v := range vectors {
			if err := v.CheckIn(vectors[0].Space, len(vectors[0].Values)); err != nil {
				t.Errorf("vector %d: %v", i, err)
			}
		}
	})
}
