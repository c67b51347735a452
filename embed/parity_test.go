package embed

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

//go:embed testdata/parity.json
var parityJSON []byte

//go:embed testdata/parity.f32
var parityF32 []byte

//go:embed testdata/parity768.json
var parity768JSON []byte

//go:embed testdata/parity768.f32
var parity768F32 []byte

// More than a thousand texts of all kinds, of which the files have a hash of
// the ids and some of each vector's numbers.
func TestParityWithPython(t *testing.T) {
	var all []goldenText
	if err := json.Unmarshal(parityJSON, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 1000 {
		t.Fatalf("%d texts; run testdata/golden.py again", len(all))
	}
	checkParity(t, openMiniLM(t), all, 1, parityF32)
}

// The same texts with a model of 768 numbers and another architecture.
func TestParityOfMPNetWithPython(t *testing.T) {
	folder := Installed("all-mpnet-base-v2")
	if _, err := os.Stat(folder); err != nil {
		t.Skip("all-mpnet-base-v2 is not installed; make model-768 does it")
	}
	var all, want []goldenText
	if err := json.Unmarshal(parityJSON, &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(parity768JSON, &want); err != nil || len(want) != len(all) {
		t.Fatalf("%d texts, %d lists of ids, %v; run testdata/golden.py again", len(all), len(want), err)
	}
	for i := range all {
		all[i].Count, all[i].Hash = want[i].Count, want[i].Hash
	}
	m, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Dim() != 768 {
		t.Errorf("%d numbers, want 768", m.Dim())
	}
	checkParity(t, m, all, 4, parity768F32)
}

// checkParity compares all texts' ids with Python's, and some numbers of every
// nth text's vector; golden.py says which.
func checkParity(t *testing.T, m *Model, all []goldenText, nth int, f32 []byte) {
	t.Helper()
	const some = 16
	var texts []string
	var at []int // their places in all
	kept := map[string]bool{}
	for i, g := range all {
		ids, err := m.tokenizer.encode(g.text())
		if err != nil {
			t.Fatal(err)
		}
		bytes, _ := binary.Append(nil, binary.LittleEndian, ids.ids)
		if hash := sha256.Sum256(bytes); len(ids.ids) != g.Count || hex.EncodeToString(hash[:8]) != g.Hash {
			t.Errorf("text %d, %q x %d: the %d ids %v are others than the %d of Python", i, g.name(), g.Repeat, len(ids.ids), ids.ids, g.Count)
		}
		kept[g.Hash] = true
		if i%nth == 0 {
			texts, at = append(texts, g.text()), append(at, i)
		}
	}
	if len(kept) < 1000 {
		t.Errorf("only %d different lists of ids: the texts are too much alike", len(kept))
	}
	numbers := make([]float32, len(texts)*some)
	if n, err := binary.Decode(f32, binary.LittleEndian, numbers); err != nil || n != len(f32) {
		t.Fatalf("%d of %d bytes of numbers, %v; run testdata/golden.py again", n, len(f32), err)
	}
	got, err := m.Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	worst, truncated := 0.0, 0
	for n, e := range got {
		i := at[n]
		if e.Tokens != all[i].Count {
			t.Errorf("text %d: %d tokens, want %d", i, e.Tokens, all[i].Count)
		}
		if e.Truncated {
			truncated++
		}
		mine := make([]float32, some)
		for k := range mine {
			mine[k] = e.Vector.Values[(37*i+23*k)%len(e.Vector.Values)]
		}
		d := distance(mine, numbers[n*some:][:some])
		worst = max(worst, d)
		if d > 1e-5 {
			t.Errorf("text %d, %q x %d: a number differs by %g", i, all[i].name(), all[i].Repeat, d)
		}
	}
	t.Logf("%d texts, %d vectors, %d of them truncated, largest difference of a number %.2g", len(all), len(got), truncated, worst)
	if truncated < 5 {
		t.Errorf("only %d texts were too long", truncated)
	}
}
