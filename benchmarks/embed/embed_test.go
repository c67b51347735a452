package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

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

// TestSame: the same vectors find the same, and of others it is noticed.
func TestSame(t *testing.T) {
	const texts, queries = 300, 50
	rng := rand.New(rand.NewPCG(1, 2))
	made := func() (all [][]float32) {
		for range texts {
			v := make([]float32, 16)
			for j := range v {
				v[j] = float32(rng.NormFloat64())
			}
			all = append(all, v)
		}
		return all
	}
	a, other := made(), made()
	one := append([][]float32{other[0]}, a[1:]...) // of the first, nothing is as it was
	for _, c := range []struct {
		b           [][]float32
		least, most int
	}{{a, queries, queries}, {one, 1, queries - 1}, {other, 0, 1}} {
		if n, err := same(t.Context(), a, c.b, queries); err != nil || n < c.least || n > c.most {
			t.Errorf("%d of %d, want %d to %d; %v", n, queries, c.least, c.most, err)
		}
	}
	if _, err := same(t.Context(), a, a[1:], queries); err == nil {
		t.Error("vectors of other texts are compared")
	}
}
