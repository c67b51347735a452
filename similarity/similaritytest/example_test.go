package similaritytest_test

import (
	"slices"
	"testing"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/similaritytest"
)

// In the test of a Finder of one's own:
func ExampleTestFinder() {
	_ = func(t *testing.T) { // func TestMine(t *testing.T)
		similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
			mine := similarity.NewIndex(metric)
			if err := mine.Add(items...); err != nil {
				t.Fatal(err)
			}
			return mine
		})
	}
}

// And of one that leaves items out:
func ExampleTestFiltered() {
	_ = func(t *testing.T) { // func TestMineLeavesOut(t *testing.T)
		similaritytest.TestFiltered(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item, without []string) similarity.Finder {
			mine := similarity.NewIndex(metric)
			if err := mine.Add(items...); err != nil {
				t.Fatal(err)
			}
			return mine.Where(func(id string) bool { return !slices.Contains(without, id) })
		})
	}
}
