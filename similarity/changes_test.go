package similarity

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace-go/millrace/similarity/vector"
)

// changes makes random ones of a collection, and knows what is in it.
type changes struct {
	rng           *rand.Rand
	ids           int // how many there are
	adds, deletes int // at once, fewer than so many
	all           map[string]vector.Vector
}

// random is a vector of 5 values, among few, so that distances are equal often.
func (c *changes) random() vector.Vector {
	v := vector.Vector{Space: "s", Values: make([]float32, 5)}
	for j := range v.Values {
		v.Values[j] = float32(c.rng.IntN(9) - 4)
	}
	v.Values[0] += 0.5
	return v
}

// apply adds some to x, and deletes some, or everything.
func (c *changes) apply(t *testing.T, x interface {
	Collection
	Metric() Metric
	Len() int
}, everything bool) {
	t.Helper()
	id := func() string { return fmt.Sprint(c.rng.IntN(c.ids)) }
	var items []Item
	for range c.rng.IntN(c.adds) {
		items = append(items, Item{id(), c.random()})
	}
	if err := x.Add(items...); err != nil {
		t.Fatal(err)
	}
	maps.Copy(c.all, byID(items))
	var gone []string
	for range c.rng.IntN(c.deletes) {
		gone = append(gone, id())
	}
	if everything {
		gone = slices.Collect(maps.Keys(c.all))
	}
	for _, id := range gone {
		delete(c.all, id)
	}
	if err := x.Delete(gone...); err != nil || x.Len() != len(c.all) {
		t.Fatalf("%v: %v, %d are there; want %d", x.Metric(), err, x.Len(), len(c.all))
	}
}
