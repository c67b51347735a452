package reduce_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/internal/emulator"
	"github.com/millrace-go/millrace/internal/npy"
	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity/vector"
)

// Files that scikit-learn's users make (testdata/npz.py) transform as
// scikit-learn does, and are what a fit of the same vectors gives.
func TestLoadScikitLearn(t *testing.T) {
	for name, tolerance := range map[string]float64{"c-f8": 1e-6, "f-f8": 1e-6, "c-f4": 1e-4, "f-f4": 1e-4, "whitened": 1e-6} {
		t.Run(name, func(t *testing.T) {
			path := "testdata/sklearn-" + name + ".npz"
			p, err := reduce.LoadNPZ(path, space, reduce.WithWhitening())
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			a, err := npy.OpenArchive(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			every := func([]int) error { return nil }
			x, err1 := a.Read("x", every)
			want, err2 := a.Read("transformed", every)
			ratio, err3 := a.Read("explained_variance_ratio_", every)
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			vs := make([]vector.Vector, 50)
			for i := range vs {
				vs[i] = vector.Vector{Space: space, Values: make([]float32, 7)}
				for j := range vs[i].Values {
					vs[i].Values[j] = float32(x[i*7+j])
				}
			}
			for i, v := range transform(t, p, vs) {
				near(t, fmt.Sprint("transformed ", i), wide(v.Values), want[3*i:3*i+3], tolerance)
			}
			near(t, "ratio", p.ExplainedVarianceRatio(), ratio, 1e-6)
			own := fit(t, vs, 3)
			for k := range 3 {
				near(t, "component", own.Component(k), p.Component(k), tolerance)
			}
			if p.Count() != 50 || p.Dim() != 7 || p.Components() != 3 || p.InputSpace() != space || p.Whitened() != (name == "whitened") {
				t.Errorf("%d %d %d %q %t", p.Count(), p.Dim(), p.Components(), p.InputSpace(), p.Whitened())
			}
		})
	}
	if _, err := reduce.LoadNPZ("testdata/sklearn-whitened.npz", space); err == nil || !strings.Contains(err.Error(), "WithWhitening") {
		t.Errorf("whitened, and not asked for: %v", err)
	}
}

func wide(values []float32) []float64 {
	w := make([]float64, len(values))
	for i, x := range values {
		w[i] = float64(x)
	}
	return w
}

func TestNPZThereAndBack(t *testing.T) {
	p := fit(t, random(40, 200, 9, 5), 4)
	white, err := p.Whiten()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*reduce.PCA{p, white} {
		path := filepath.Join(t.TempDir(), "pca.npz")
		if err := p.SaveNPZ(path); err != nil {
			t.Fatal(err)
		}
		q, err := reduce.LoadNPZ(path, space, reduce.WithWhitening())
		if err != nil {
			t.Fatal(err)
		}
		if q.Space() != p.Space() || q.Count() != p.Count() {
			t.Errorf("%s with %d vectors, was %s with %d", q.Space(), q.Count(), p.Space(), p.Count())
		}
		near(t, "ratio", q.ExplainedVarianceRatio(), p.ExplainedVarianceRatio(), 1e-12)
	}
}

// numpy itself reads what SaveNPZ writes, and projects to the same.
func TestNumpyReadsNPZ(t *testing.T) {
	python, err := emulator.Python()
	if err != nil {
		t.Skip(err)
	}
	vs := random(41, 30, 6, 1)
	p := fit(t, vs, 2)
	white, err := p.Whiten()
	if err != nil {
		t.Fatal(err)
	}
	rows := make([][]float32, len(vs))
	for i, v := range vs {
		rows[i] = v.Values
	}
	in, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*reduce.PCA{p, white} {
		path := filepath.Join(t.TempDir(), "pca.npz")
		if err := p.SaveNPZ(path); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), python, "testdata/exported.py", path)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Y      [][]float64
			Arrays map[string]string
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		for i, v := range transform(t, p, vs) {
			near(t, "projected", wide(v.Values), got.Y[i], 1e-6)
		}
		for name, want := range map[string]string{"components_": "float64 (2, 6)", "mean_": "float64 (6,)", "singular_values_": "float64 (2,)", "noise_variance_": "float64 ()", "n_samples_": "int64 ()", "whiten": "bool ()"} {
			if got.Arrays[name] != want {
				t.Errorf("%s is %q, want %q", name, got.Arrays[name], want)
			}
		}
	}
}

// archive writes arrays of float64.
func archive(t testing.TB, arrays map[string][]float64, shapes map[string][]int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := npy.NewArchiveWriter(&b)
	for name, values := range arrays {
		npy.Add(w, name, values, shapes[name]...)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNPZErrors(t *testing.T) {
	good := func() (map[string][]float64, map[string][]int) {
		return map[string][]float64{"components_": {1, 0, 0, 0, 1, 0}, "mean_": {1, 2, 3}, "explained_variance_": {2, 1}, "whiten": {0}, "n_samples_": {10}},
			map[string][]int{"components_": {2, 3}, "mean_": {3}, "explained_variance_": {2}}
	}
	for want, spoil := range map[string]func(a map[string][]float64, s map[string][]int){
		"":                              func(map[string][]float64, map[string][]int) {},
		"no array mean_":                func(a map[string][]float64, s map[string][]int) { delete(a, "mean_") },
		"should be components x values": func(a map[string][]float64, s map[string][]int) { s["components_"] = []int{6} },
		"of shape [3 2]":                func(a map[string][]float64, s map[string][]int) { s["components_"] = []int{3, 2} },
		"mean_: of shape [1 3]":         func(a map[string][]float64, s map[string][]int) { s["mean_"] = []int{1, 3} },
		"where components_ is 2 x 3": func(a map[string][]float64, s map[string][]int) {
			s["explained_variance_"] = []int{1}
			a["explained_variance_"] = []float64{1}
		},
		"not orthonormal":                   func(a map[string][]float64, s map[string][]int) { a["components_"][4] = 1.001 },
		"product of rows 0 and 1":           func(a map[string][]float64, s map[string][]int) { a["components_"] = []float64{1, 0, 0, 1, 0, 0} },
		"NaN":                               func(a map[string][]float64, s map[string][]int) { a["mean_"][1] = math.NaN() },
		"variance -1":                       func(a map[string][]float64, s map[string][]int) { a["explained_variance_"][1] = -1 },
		"n_samples_ is 1.5":                 func(a map[string][]float64, s map[string][]int) { a["n_samples_"][0] = 1.5 },
		"whiten: of shape [1]; it should b": func(a map[string][]float64, s map[string][]int) { s["whiten"] = []int{1} },
		"this PCA whitens":                  func(a map[string][]float64, s map[string][]int) { a["whiten"][0] = 1 },
	} {
		arrays, shapes := good()
		spoil(arrays, shapes)
		b := archive(t, arrays, shapes)
		_, err := reduce.ReadNPZ(bytes.NewReader(b), int64(len(b)), space)
		if want == "" {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := reduce.ReadNPZ(bytes.NewReader(b), int64(len(b)), ""); err == nil || !strings.Contains(err.Error(), "no space") {
				t.Errorf("without a space: %v", err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "reduce: ") {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := reduce.LoadNPZ("testdata/npz.py", space); err == nil || !strings.Contains(err.Error(), "not an archive of numpy's") {
		t.Errorf("no archive: %v", err)
	}
	if _, err := reduce.LoadNPZ("testdata/nothing.npz", space); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// What a whitened vector is depends on the variances too.
func TestWhitenedSpaces(t *testing.T) {
	var spaces []string
	for _, variance := range []float64{1, 2} {
		b := archive(t, map[string][]float64{"components_": {1, 0}, "mean_": {0, 0}, "explained_variance_": {variance}, "whiten": {1}},
			map[string][]int{"components_": {1, 2}, "mean_": {2}, "explained_variance_": {1}})
		p, err := reduce.ReadNPZ(bytes.NewReader(b), int64(len(b)), space, reduce.WithWhitening())
		if err != nil {
			t.Fatal(err)
		}
		spaces = append(spaces, p.Space())
	}
	if spaces[0] == spaces[1] {
		t.Error("two ways to whiten have one space")
	}
}

func FuzzReadNPZ(f *testing.F) {
	files, err := filepath.Glob("testdata/sklearn-*.npz")
	if err != nil || len(files) != 5 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := reduce.ReadNPZ(bytes.NewReader(b), int64(len(b)), space, reduce.WithWhitening())
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := errors.Join(p.WriteNPZ(&again), p.Save(io.Discard)); err != nil {
			t.Fatal(err)
		}
		q, err := reduce.ReadNPZ(bytes.NewReader(again.Bytes()), int64(again.Len()), space, reduce.WithWhitening())
		if err != nil || q.Space() != p.Space() || !slices.Equal(q.Mean(), p.Mean()) {
			t.Fatalf("written and read again: %v", err)
		}
	})
}
