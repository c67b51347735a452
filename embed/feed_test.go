package embed

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
)

// What padding holds does not show in a good model's vectors, and a worse one
// may count the places that are not the padding's id.
func TestFeeds(t *testing.T) {
	openMiniLM(t)
	ids := [][]uint32{{11, 12, 13}, {21}, {}}
	for _, c := range []struct {
		name string
		t    transformer
		want []int64
	}{
		{inputIDs, transformer{padID: 1}, []int64{11, 12, 13, 1, 21, 1, 1, 1, 1, 1, 1, 1}},
		{inputIDs, transformer{padID: 1, padLeft: true}, []int64{1, 11, 12, 13, 1, 1, 1, 21, 1, 1, 1, 1}},
		{inputMask, transformer{padID: 1}, []int64{1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0}},
		{inputMask, transformer{padID: 1, padLeft: true}, []int64{0, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0}},
		{inputTypes, transformer{padID: 1}, make([]int64, 12)},
		{inputPositions, transformer{padID: 1}, []int64{0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{inputPositions, transformer{padID: 1, padLeft: true}, []int64{0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0}},
		{inputPositions, transformer{padID: 1, firstPlace: 2}, []int64{2, 3, 4, 1, 2, 1, 1, 1, 1, 1, 1, 1}},
	} {
		t.Run(fmt.Sprintf("%s/%+v", c.name, c.t), func(t *testing.T) {
			f := newFeed[int64](c.name, &c.t)
			f.data = slices.Repeat([]int64{99}, 50) // what a batch before has left
			var pins runtime.Pinner
			defer pins.Unpin()
			v, err := f.tensor(ids, 4, &pins)
			if err != nil {
				t.Fatal(err)
			}
			defer free(v)
			if !slices.Equal(f.data, c.want) {
				t.Errorf("%v, want %v", f.data, c.want)
			}
		})
	}
}
