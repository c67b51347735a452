package similarity

import (
	"cmp"
	"slices"
)

// topK keeps the k nearest hits it is offered that are within radius, in a
// heap with the farthest on top. k is at least 1.
type topK struct {
	k      int
	radius float64
	heap   []Hit
}

// worst is the distance that a hit must not exceed to get in.
func (t *topK) worst() float64 {
	if len(t.heap) < t.k {
		return t.radius
	}
	return t.heap[0].Distance
}

func (t *topK) offer(h Hit) {
	if !(h.Distance <= t.radius) {
		return
	}
	if len(t.heap) < t.k {
		t.heap = append(t.heap, h)
		for i := len(t.heap) - 1; i > 0; {
			parent := (i - 1) / 2
			if compare(t.heap[i], t.heap[parent]) <= 0 {
				break
			}
			t.heap[i], t.heap[parent] = t.heap[parent], t.heap[i]
			i = parent
		}
		return
	}
	if compare(h, t.heap[0]) >= 0 {
		return
	}
	t.heap[0] = h
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(t.heap) {
			return
		}
		if child+1 < len(t.heap) && compare(t.heap[child+1], t.heap[child]) > 0 {
			child++
		}
		if compare(t.heap[child], t.heap[i]) <= 0 {
			return
		}
		t.heap[i], t.heap[child] = t.heap[child], t.heap[i]
		i = child
	}
}

// sorted empties t and returns what it kept, nearest first.
func (t *topK) sorted() []Hit {
	hits := t.heap
	t.heap = nil
	slices.SortFunc(hits, compare)
	return hits
}

// compare orders hits: nearest first, equal distances by id.
func compare(a, b Hit) int {
	switch { // there are no NaNs, for which cmp.Compare takes twice the time
	case a.Distance < b.Distance:
		return -1
	case a.Distance > b.Distance:
		return 1
	}
	return cmp.Compare(a.ID, b.ID)
}
