package embed

import (
	"strings"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage/stagetest"
)

func TestModelPassesTheSuite(t *testing.T) {
	m, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs, inputMask, inputTypes), tinyFiles())
	if err != nil {
		t.Fatal(err)
	}
	stagetest.TestTransform(t, func(testing.TB) stagetest.TransformFixture[string, vector.Vector] {
		return stagetest.TransformFixture[string, vector.Vector]{
			Transform: m,
			In: func(i int) string { // the digits of i to the base of three, as words
				var words []string
				for range 1 + i%2*3 + i/27 {
					words = append(words, []string{"a", "b", "c"}[i%3])
					i /= 3
				}
				return strings.Join(words, " ")
			},
			Equal: func(a, b vector.Vector) bool { return a.Space == b.Space && distance(a.Values, b.Values) < 1e-6 },
		}
	})
}
