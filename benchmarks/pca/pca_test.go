package main

import (
	"io"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// Both find the same components of the same vectors, so that their times may be
// compared; and every system has a row a case.
func TestOursAndGonum(t *testing.T) {
	o := options{count: 600, dim: 24, components: 5, rounds: 2, gonum: 1, single: 10}
	vectors := o.clusters()
	ours, theirs := &millrace{vectors: vectors, k: 5}, newGonum(vectors, 5)
	b := &bench{options: o, ours: ours, log: io.Discard}
	b.add("millrace", ours)
	b.add("gonum", theirs)
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for k := range 5 {
		dot := mat.Dot(mat.NewVecDense(24, ours.pca.Component(k)), theirs.components.ColView(k))
		if math.Abs(math.Abs(dot)-1) > 1e-6 {
			t.Errorf("component %d: the product with gonum's is %v", k, dot)
		}
	}
	rows := b.rows()
	if len(rows) != 6 || rows[1].System != "gonum" || rows[0].Case != "fit 24 to 5" || rows[0].Value <= 0 {
		t.Errorf("%+v", rows)
	}
	if text := b.text(); strings.Count(text, "| millrace |") != 3 || !strings.Contains(text, "600 vectors of 24 values to 5") {
		t.Error(text)
	}
}
