package huge_test

import (
	"testing"

	"github.com/millrace-go/millrace/internal/huge"
)

func TestFloats(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 1<<19 - 1, 1 << 19, 1<<21 + 3} {
		values := huge.Floats(n)
		if len(values) != n || cap(values) != n {
			t.Fatalf("%d of %d values", len(values), n)
		}
		for i, v := range values {
			if v != 0 {
				t.Fatalf("value %d of %d is %v", i, n, v)
			}
			values[i] = float32(i)
		}
		for i, v := range values {
			if v != float32(i) {
				t.Fatalf("value %d of %d became %v", i, n, v)
			}
		}
	}
}
