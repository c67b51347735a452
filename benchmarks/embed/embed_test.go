package main

import (
	"math"
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
