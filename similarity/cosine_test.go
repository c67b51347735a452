package similarity

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace-go/millrace/similarity/vector"
)

// trueCosine is 1 - a.b/(|a||b|) in 300 bits.
func trueCosine(a, b []float32) float64 {
	number := func(x float64) *big.Float { return new(big.Float).SetPrec(300).SetFloat64(x) }
	dot := func(a, b []float32) *big.Float {
		sum := number(0)
		for i, x := range a {
			sum.Add(sum, new(big.Float).Mul(number(float64(x)), number(float64(b[i]))))
		}
		return sum
	}
	root := new(big.Float).Mul(dot(a, a), dot(b, b))
	root.Sqrt(root)
	d, _ := new(big.Float).Sub(number(1), root.Quo(dot(a, b), root)).Float64()
	return d
}

// beside are vectors that point almost where v does: ever fewer of their values
// differ, and by ever less, to one value by one bit.
func beside(rng *rand.Rand, v []float32) (near [][]float32) {
	for _, by := range []float64{0x1p-3, 0x1p-6, 0x1p-9, 0x1p-10, 0x1p-13, 0x1p-16, 0x1p-20, 0x1p-23} {
		for _, every := range []int{1, 7, len(v)} {
			x := slices.Clone(v)
			for i := rng.IntN(every); i < len(x); i += every {
				x[i] = float32(float64(x[i]) * (1 + by*rng.NormFloat64()))
			}
			i := rng.IntN(len(x))
			x[i] = math.Nextafter32(x[i], 9)
			near = append(near, x)
		}
	}
	return near
}

func TestCosineOfNearVectors(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	smallest, largest, worst := 1.0, 0.0, 0.0
	for _, dim := range []int{2, 3, 150, 768} {
		for range 20 {
			v := inClusters(rng, 1, 3, dim)[0].Vector.Values
			for _, x := range beside(rng, v) {
				want := trueCosine(v, x)
				got, err := Cosine.Distance(v, x)
				if err != nil {
					t.Fatal(err)
				}
				if want == 0 && got == 0 {
					continue // what was taken off has come back
				}
				off := math.Abs(got/want - 1)
				if !(off < 1e-10) {
					t.Fatalf("dim %d: %v, want %v", dim, got, want)
				}
				worst, smallest, largest = max(worst, off), min(smallest, want), max(largest, want)
				if back, err := Cosine.Distance(x, v); err != nil || math.Abs(back-got) > 1e-10*got {
					t.Fatalf("there %v, back %v, %v", got, back, err)
				}
			}
			multiple := slices.Clone(v)
			for i := range v {
				v[i] = float32(math.Round(float64(v[i]) * 1000))
				multiple[i] = 3 * v[i]
			}
			for _, same := range [][]float32{v, multiple} {
				if d, err := Cosine.Distance(v, same); d != 0 || err != nil {
					t.Fatalf("the same direction is at %v, %v", d, err)
				}
			}
		}
	}
	t.Logf("distances from %.1g to %.1g, off by a part of %.1g", smallest, largest, worst)
	if smallest > 1e-16 || largest < 1e-4 {
		t.Fatal("there were no distances on both sides of what a cosine can tell")
	}
}

// Among vectors that point almost the same way, every index finds the nearest.
func TestNearestOfNearVectors(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const dim, k = 150, 12
	items := inClusters(rng, 300, 3, dim)
	asked := items[0].Vector
	for i, x := range beside(rng, asked.Values) {
		items = append(items, Item{fmt.Sprintf("near %d", i), vector.Vector{Space: asked.Space, Values: x}})
	}
	truth := make(map[string]float64)
	for _, it := range items {
		truth[it.ID] = trueCosine(asked.Values, it.Vector.Values)
	}
	slices.SortFunc(items, func(a, b Item) int { return compare(Hit{a.ID, truth[a.ID]}, Hit{b.ID, truth[b.ID]}) })
	refined, err := NewRefined(Cosine, randomProjection(rng, 20, dim), Quantized())
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]Collection{
		"index": NewIndex(Cosine), "quantized": NewIndex(Cosine, Quantized()), "refined": refined, "inverted file": trained(t, Cosine, 4, items),
	} {
		if err := x.Add(items...); err != nil {
			t.Fatal(name, err)
		}
		for _, queries := range [][]vector.Vector{{asked}, {asked, asked, asked}} {
			hits, err := x.Nearest(t.Context(), queries, k)
			if err != nil {
				t.Fatal(name, err)
			}
			for _, got := range hits {
				for i, h := range got {
					if d := truth[items[i].ID]; h.ID != items[i].ID || math.Abs(h.Distance-d) > 1e-10*d {
						t.Fatalf("%s: at %d %v, want %s at %v", name, i, h, items[i].ID, d)
					}
				}
			}
		}
	}
}
