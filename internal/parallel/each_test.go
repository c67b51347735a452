package parallel_test

import (
	"sync/atomic"
	"testing"

	"github.com/millrace-go/millrace/internal/parallel"
)

func TestEach(t *testing.T) {
	for _, n := range []int{0, 1, 2, 100} {
		calls := make([]atomic.Int32, n)
		parallel.Each(n, func(i int) { calls[i].Add(1) })
		for i := range calls {
			if got := calls[i].Load(); got != 1 {
				t.Errorf("of %d: %d calls for %d", n, got, i)
			}
		}
	}
}
