package source

import (
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// TestBoundCuts what comes at or behind the end, wherever in a piece that is.
func TestBoundCuts(t *testing.T) {
	for _, c := range []struct {
		offsets []int64
		want    int
		next    int64
	}{
		{[]int64{3, 4}, 2, 5},
		{[]int64{8, 9}, 2, 10},
		{[]int64{8, 10, 11}, 1, 10},
		{[]int64{10}, 0, 10},
		{[]int64{8, 12}, 1, 10},
	} {
		b := &bound{on: true, end: 10}
		recs := make([]stage.Raw, len(c.offsets))
		for i, o := range c.offsets {
			recs[i].Offset = o
		}
		if got := b.cut(recs); len(got) != c.want || b.next.Load() != c.next {
			t.Errorf("of %v %d are left, and %d is next; want %d and %d", c.offsets, len(got), b.next.Load(), c.want, c.next)
		}
	}
}
