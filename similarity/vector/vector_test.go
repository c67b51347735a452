package vector_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/similarity/vector"
)

// TestCheckFindsTheFirstBadValue tries each place, and what is next to being bad.
func TestCheckFindsTheFirstBadValue(t *testing.T) {
	bad := []uint32{0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0xffffffff}
	good := []uint32{0, 1 << 31, 0x7f7fffff, 0xff7fffff, 1, 0x807fffff}
	for n := range 21 {
		v := vector.Vector{Space: "s", Values: make([]float32, n+1)}
		for i := range v.Values {
			v.Values[i] = math.Float32frombits(good[i%len(good)])
		}
		if err := v.Check(); err != nil {
			t.Fatal(err)
		}
		for i := range v.Values {
			for _, bits := range bad {
				w := vector.Vector{Space: "s", Values: append([]float32(nil), v.Values...)}
				w.Values[i], w.Values[n] = math.Float32frombits(bits), float32(math.NaN())
				if i == n {
					w.Values[i] = math.Float32frombits(bits)
				}
				if err := w.Check(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("value %d is", i)) {
					t.Fatalf("%#x at %d of %d: %v", bits, i, n+1, err)
				}
			}
		}
	}
}
