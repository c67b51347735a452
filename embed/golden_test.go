package embed

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

// The golden files are what Python makes of the same texts with the same model;
// testdata/golden.py writes them.

//go:embed testdata/golden.json
var goldenJSON []byte

//go:embed testdata/golden.f32
var goldenF32 []byte

type goldenText struct {
	Text   string
	Base64 string // for a text that is not UTF-8, or where it is shorter
	Repeat int    // the text is its piece that often
	IDs    []uint32
	Count  int    // of the ids, in the place of IDs
	Hash   string // of the ids
	Vector bool

	values []float32 // where Vector
}

func (g goldenText) text() string {
	piece := g.Text
	if g.Base64 != "" {
		b, err := base64.StdEncoding.DecodeString(g.Base64)
		if err != nil {
			panic(err)
		}
		piece = string(b)
	}
	return strings.Repeat(piece, max(g.Repeat, 1))
}

// name shows the text in a message.
func (g goldenText) name() string {
	text := g.text()
	if len(text) > 40 {
		text = text[:40]
	}
	return text
}

func readGolden(t testing.TB) (all []goldenText) {
	t.Helper()
	if err := json.Unmarshal(goldenJSON, &all); err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(goldenF32)
	for i := range all {
		if all[i].Vector {
			all[i].values = make([]float32, 384)
			if err := binary.Read(r, binary.LittleEndian, all[i].values); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r.Len() > 0 || len(all) < 200 {
		t.Fatalf("%d golden texts, %d bytes too many; run testdata/golden.py again", len(all), r.Len())
	}
	return all
}

func TestTokensEqualHuggingFace(t *testing.T) {
	m := openMiniLM(t)
	for _, g := range readGolden(t) {
		got, err := m.tokenizer.encode(g.text())
		if err != nil {
			t.Errorf("%q: %v", g.name(), err)
		} else if !slices.Equal(got.ids, g.IDs) {
			t.Errorf("%q x %d:\n got %v\nwant %v", g.name(), g.Repeat, got.ids, g.IDs)
		}
	}
}

func TestVectorsEqualPython(t *testing.T) {
	m := openMiniLM(t)
	var texts []string
	var want []goldenText
	for _, g := range readGolden(t) {
		if g.Vector {
			texts, want = append(texts, g.text()), append(want, g)
		}
	}
	got, err := m.Transform(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i, v := range got {
		if v.Space != m.Space() {
			t.Errorf("%q: space %q, want %q", want[i].name(), v.Space, m.Space())
		}
		d := distance(v.Values, want[i].values)
		worst = max(worst, d)
		if d > 1e-5 {
			t.Errorf("%q: a number differs by %g", want[i].name(), d)
		}
	}
	t.Logf("%d vectors, largest difference of a number %.2g", len(got), worst)
}

// distance is the largest difference of two numbers at the same place.
func distance(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	d := 0.0
	for i := range a {
		if x := math.Abs(float64(a[i]) - float64(b[i])); !(x <= d) { // NaN too
			d = x
		}
	}
	return d
}
