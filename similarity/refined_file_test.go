package similarity

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/similarity/vector"
)

// savedRefined is a small one, and its bytes.
func savedRefined(t testing.TB, rng *rand.Rand, metric Metric, items []Item) (*Refined, []byte) {
	t.Helper()
	x, err := NewRefined(metric, randomProjection(rng, 5, 12))
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Add(items...); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := x.Save(&b); err != nil {
		t.Fatal(err)
	}
	return x, b.Bytes()
}

func manyItems(rng *rand.Rand, n, dim int) []Item {
	items := make([]Item, n)
	for i := range items {
		items[i] = Item{fmt.Sprintf("%06d", i), vector.Vector{Space: "s", Values: make([]float32, dim)}}
		for d := range dim {
			items[i].Vector.Values[d] = float32(rng.NormFloat64())
		}
	}
	return items
}

func TestRefinedIsTheSameFromAFile(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, metric := range refinedMetrics {
		items := manyItems(rng, batchItems+300, 12)
		x, _ := savedRefined(t, rng, metric, items)
		if err := x.Delete(items[7].ID, items[batchItems+1].ID); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "refined")
		if err := x.SaveFile(path); err != nil {
			t.Fatal(err)
		}
		y, err := LoadRefinedFile(path)
		if err != nil {
			t.Fatal(err)
		}
		quantized, err := LoadRefinedFile(path, Quantized())
		if err != nil {
			t.Fatal(err)
		}
		if y.Metric() != metric || y.Space() != "s" || y.Len() != len(items)-2 {
			t.Fatalf("%v, space %q, %d items", y.Metric(), y.Space(), y.Len())
		}
		var asked []vector.Vector
		for _, it := range append(items[:20:20], manyItems(rng, 20, 12)...) {
			asked = append(asked, it.Vector)
		}
		want, work, err := x.Search(t.Context(), asked, 9, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, again, err := y.Search(t.Context(), asked, 9, 0)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: other answers from a file, %v", metric, err)
		}
		if len(work) != len(again) {
			t.Fatal("other work")
		}
		got, err = quantized.Nearest(t.Context(), asked, 9)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: other answers by codes, %v", metric, err)
		}
		var first, second, third bytes.Buffer
		if err := errors.Join(x.Save(&first), y.Save(&second), quantized.Save(&third)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) || !bytes.Equal(first.Bytes(), third.Bytes()) {
			t.Errorf("%v: saved again, it is another file", metric)
		}
		other := vector.Vector{Space: "another", Values: make([]float32, 12)}
		var refused *vector.SpaceError
		if err := y.Add(Item{"a", other}); !errors.As(err, &refused) || refused.Want != "s" {
			t.Errorf("an item of another space: %v", err)
		}
	}
}

func TestEmptyRefinedIsTheSameFromAFile(t *testing.T) {
	_, b := savedRefined(t, rand.New(rand.NewPCG(1, 2)), Cosine, nil)
	x, err := LoadRefined(bytes.NewReader(b))
	if err != nil || x.Len() != 0 || x.Space() != "s" {
		t.Fatalf("%v", err)
	}
	if err := new(Refined).Save(&bytes.Buffer{}); !errors.Is(err, errNoProjection) {
		t.Errorf("the zero Refined saves: %v", err)
	}
}

func TestLoadRefinedRefusesDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	_, b := savedRefined(t, rng, Euclidean, manyItems(rng, 3, 12))
	for i := range b {
		damaged := bytes.Clone(b)
		damaged[i] ^= 1 << rng.IntN(8)
		if _, err := LoadRefined(bytes.NewReader(damaged)); err == nil {
			t.Fatalf("byte %d of %d is another one, and nobody says so", i, len(b))
		}
		if _, err := LoadRefined(bytes.NewReader(b[:i])); err == nil {
			t.Fatalf("cut at byte %d of %d, and nobody says so", i, len(b))
		}
	}
	var index bytes.Buffer
	if err := NewIndex(Euclidean).Save(&index); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadRefined(&index); err == nil || !strings.Contains(err.Error(), "refined index") {
		t.Errorf("an Index's file: %v", err)
	}
	// A right checksum over components that are not orthonormal.
	at := 8 + 4 + 4 + 4 + 1 + 8 + 8 + 8 + 12*8
	binary.LittleEndian.PutUint64(b[at:], 0)
	sum := crc32.Checksum(b[:len(b)-4], crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(b[len(b)-4:], sum)
	if _, err := LoadRefined(bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), "not orthonormal") {
		t.Errorf("components that are not orthonormal: %v", err)
	}
}

func FuzzLoadRefined(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{0, 2} {
		_, b := savedRefined(f, rng, Cosine, manyItems(rng, n, 12))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum is put right, so that the fields behind it get their turn.
		if n := len(b); n > 4 {
			b = binary.LittleEndian.AppendUint32(bytes.Clone(b[:n-4]), crc32.Checksum(b[:n-4], crc32.MakeTable(crc32.Castagnoli)))
		}
		x, err := LoadRefined(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := x.Save(&again); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Fatalf("%q loads, and saves as %q, %v", b, again.Bytes(), err)
		}
	})
}
