package similarity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/millrace-go/millrace/similarity/vector"
)

const (
	// rowsPerList is how many items a list's middle is learnt from, and
	// trainRounds how often that is made better.
	rowsPerList = 64
	trainRounds = 10
	// What a trained IVF finds at least, of the 10 nearest.
	trainK      = 10
	trainRecall = 0.95
)

// Train learns the lists' middles, by k-means, from the items that are there,
// sorts the items anew, and tunes the IVF to find 0.95 of the 10 nearest: see
// [IVF.Tune] for more or less. lists is how many there shall be; 0 is twice the
// root of the number of items: give what fits the number that there will be.
// The same items give the same lists.
//
// Searches go on meanwhile, changes wait for the second half of it. Memory is
// taken twice until it ends. An error changes nothing. Train again when there are
// many times the items, or Recall falls.
func (x *IVF) Train(ctx context.Context, lists int) error {
	now := x.table.snapshot()
	if now.live < 2 {
		return errors.New("similarity: IVF: there are no items to train with: Add some first")
	}
	if lists <= 0 {
		lists = int(2 * math.Sqrt(float64(now.live)))
	}
	lists = min(lists, now.live)
	middles, err := x.layout.learn(ctx, now.sample(rowsPerList*lists), lists)
	if err != nil {
		return fmt.Errorf("similarity: IVF: training: %w", err)
	}
	c := &coarse{middles: middles}
	x.table.mu.Lock()
	defer x.table.mu.Unlock()
	if next := &x.table.next; next.live == 0 || next.space != now.space || next.dim != now.dim {
		return errors.New("similarity: IVF: all items were replaced during the training: train again")
	}
	fresh, err := x.sorted(ctx, c)
	if err != nil {
		return fmt.Errorf("similarity: IVF: training: %w", err)
	}
	x.table.next, x.table.rowOf, x.table.dead, x.table.tails = fresh.next, fresh.rowOf, fresh.dead, fresh.tails
	x.table.publish(x.layout)
	return nil
}

// sorted returns a table of all items, in the lists of c, and tuned.
func (x *IVF) sorted(ctx context.Context, c *coarse) (*table, error) {
	var t table
	old := &x.table.next
	t.begin(x.layout, old.space, old.dim, old.live)
	t.next.coarse = c
	var items []Item
	var err error
	flush := func() {
		if err != nil || len(items) == 0 {
			return
		}
		vectors := make([]vector.Vector, len(items))
		for i, it := range items {
			vectors[i] = it.Vector
		}
		e := listed{layout: x.layout}
		if e.lists, err = c.assign(ctx, vectors); err == nil {
			t.insert(&e, items)
		}
		items = items[:0]
	}
	old.each(func(v *view, row int) {
		values := v.values(make([]float32, old.dim), row)
		if items = append(items, Item{v.ids[row], vector.Vector{Space: old.space, Values: values}}); len(items) == assignBatch {
			flush()
		}
	})
	flush()
	if err != nil {
		return nil, err
	}
	t.publish(x.layout)
	check, err := x.newCheck(ctx, t.snapshot(), nil, trainK)
	if err != nil {
		return nil, err
	}
	r, err := check.tune(ctx, trainRecall)
	t.next.coarse = &coarse{c.middles, r.Probes}
	return &t, err
}

// sample returns n of the items, or all if there are fewer, in random order: the
// same ones of the same items.
func (s *snapshot) sample(n int) []Item {
	rng := rand.New(rand.NewPCG(1, 1))
	places := make([]location, 0, s.live)
	for i := range s.views {
		v := &s.views[i]
		for row := range v.rows {
			if s.alive(v, row) {
				places = append(places, location{i, row})
			}
		}
	}
	items := make([]Item, min(n, len(places)))
	for i := range items {
		j := i + rng.IntN(len(places)-i)
		places[i], places[j] = places[j], places[i]
		v := &s.views[places[i].segment]
		values := v.values(make([]float32, s.dim), places[i].row)
		items[i] = Item{v.ids[places[i].row], vector.Vector{Space: s.space, Values: values}}
	}
	return items
}

// learn returns n middles of the items: k-means by Lloyd's method, from the first
// n items. By cosine, an item counts as its direction.
func (l layout) learn(ctx context.Context, items []Item, n int) (*Index, error) {
	rng := rand.New(rand.NewPCG(2, 2))
	vectors := make([]vector.Vector, len(items))
	for i, it := range items {
		vectors[i] = it.Vector
	}
	middles := vectors[:n]
	var was []int
	for range trainRounds {
		index, err := newMiddles(l.metric, middles)
		if err != nil {
			return nil, err
		}
		lists, err := (&coarse{middles: index}).assign(ctx, vectors)
		if err != nil {
			return nil, err
		}
		changed := 0
		for i, list := range lists {
			if was == nil || was[i] != list {
				changed++
			}
		}
		if changed == 0 {
			return index, nil
		}
		was, middles = lists, l.means(vectors, lists, n, rng)
	}
	return newMiddles(l.metric, middles)
}

// means returns the middle of each list. A list that has none, as it is empty or
// its directions cancel out, begins anew, at any vector.
func (l layout) means(vectors []vector.Vector, lists []int, n int, rng *rand.Rand) []vector.Vector {
	dim := len(vectors[0].Values)
	sums, counts := make([]float64, n*dim), make([]float64, n)
	for i, list := range lists {
		scale := 1.0
		if l.metric == Cosine {
			scale = 1 / math.Sqrt(dot(vectors[i].Values, vectors[i].Values))
		}
		sum := sums[list*dim : (list+1)*dim]
		for d, v := range vectors[i].Values {
			sum[d] += scale * float64(v)
		}
		counts[list]++
	}
	middles := make([]vector.Vector, n)
	for list := range middles {
		middle := vector.Vector{Space: vectors[0].Space, Values: make([]float32, dim)}
		for d := range dim {
			middle.Values[d] = float32(sums[list*dim+d] / counts[list])
		}
		if counts[list] == 0 || l.metric.Check(middle) != nil {
			middle = vectors[rng.IntN(len(vectors))]
		}
		middles[list] = middle
	}
	return middles
}

// newMiddles is the index that finds a vector's list.
func newMiddles(metric Metric, middles []vector.Vector) (*Index, error) {
	items := make([]Item, len(middles))
	for list, m := range middles {
		items[list] = Item{strconv.Itoa(list), m}
	}
	x := NewIndex(metric)
	return x, x.Add(items...)
}
