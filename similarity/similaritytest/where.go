package similaritytest

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// TestWhere holds what a Finder in a database finds under conditions on columns.
// The table has three items of the space "s", of one value each, and these
// columns beside:
//
//	id  value  lang  favorites  score  reply  created
//	a   1      en    1          0.5    true   2020-01-01
//	b   2      de    2          1.5    false  2021-01-01
//	c   3      null  null       2.5    true   null
//
// where gives a Finder of those that meet all conditions.
func TestWhere(t *testing.T, where func(...similarity.Condition) (similarity.Finder, error)) {
	t.Helper()
	for _, c := range []struct {
		want       string
		conditions []similarity.Condition
	}{
		{"abc", nil},
		{"a", []similarity.Condition{{Column: "lang", Value: "en"}}},
		{"b", []similarity.Condition{{Column: "lang", Is: similarity.NotEqual, Value: "en"}}},
		{"", []similarity.Condition{{Column: "lang", Value: "' OR ''='"}}},
		{"ab", []similarity.Condition{{Column: "lang", Is: similarity.In, Value: []string{"de", "en"}}}},
		{"", []similarity.Condition{{Column: "lang", Is: similarity.In, Value: []string{}}}},
		{"", []similarity.Condition{{Column: "lang", Is: similarity.In, Value: []string(nil)}}},
		{"bc", []similarity.Condition{{Column: "id", Is: similarity.NotIn, Value: []string{"a"}}}},
		{"abc", []similarity.Condition{{Column: "id", Is: similarity.NotIn, Value: []string(nil)}}},
		{"b", []similarity.Condition{{Column: "favorites", Is: similarity.Above, Value: 1}}},
		{"a", []similarity.Condition{{Column: "favorites", Is: similarity.AtMost, Value: int64(1)}}},
		{"b", []similarity.Condition{{Column: "favorites", Is: similarity.In, Value: []int64{2, 3}}}},
		{"ab", []similarity.Condition{{Column: "score", Is: similarity.Below, Value: 2.5}}},
		{"c", []similarity.Condition{{Column: "score", Is: similarity.In, Value: []float64{2.5}}}},
		{"ac", []similarity.Condition{{Column: "reply", Value: true}}},
		{"b", []similarity.Condition{{Column: "created", Is: similarity.AtLeast, Value: time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC)}}},
		{"b", []similarity.Condition{{Column: "created", Is: similarity.AtLeast, Value: time.Date(2020, 6, 2, 0, 0, 0, 0, time.UTC)}}},
		{"c", []similarity.Condition{{Column: "reply", Value: true}, {Column: "score", Is: similarity.Above, Value: 1.0}}},
	} {
		f, err := where(c.conditions...)
		if err != nil {
			t.Fatal(err)
		}
		hits, err := f.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{0}}}, 10)
		if err != nil {
			t.Fatalf("%v: %v", c.conditions, err)
		}
		var got strings.Builder
		for _, h := range hits[0] {
			got.WriteString(h.ID)
		}
		if got.String() != c.want {
			t.Errorf("%v: found %q, want %q", c.conditions, &got, c.want)
		}
	}
}
