package stagetest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// In the test of a source of one's own. Here it is a Source of this package.
func ExampleTestSource() {
	_ = func(t *testing.T) { // func TestMine(t *testing.T)
		stagetest.TestSource(t, func(testing.TB) stagetest.SourceFixture[string] {
			var mine stagetest.Source[string]
			return stagetest.SourceFixture[string]{
				Source: mine.Source(),
				Value:  func(i int) string { return strings.Repeat("x", i) },
				Put: func(recs ...stage.Record[string]) {
					for _, r := range recs {
						mine.PushRecord(r)
					}
				},
				Partitions: 2,
				Revoke: func() (giveBack func()) {
					mine.Revoke(1)
					return func() { mine.Assign(1) }
				},
			}
		})
	}
}

// In the test of a sink of one's own. Here it is a Sink of this package.
func ExampleTestSink() {
	_ = func(t *testing.T) { // func TestMine(t *testing.T)
		stagetest.TestSink(t, func(testing.TB) stagetest.SinkFixture[string] {
			var mine stagetest.Sink[string]
			return stagetest.SinkFixture[string]{
				Sink:    mine.Sink(),
				Value:   func(i int) string { return strings.Repeat("x", i) },
				Written: mine.Written,
			}
		})
	}
}

// In the test of a transform of one's own.
func ExampleTestTransform() {
	_ = func(t *testing.T) { // func TestMine(t *testing.T)
		stagetest.TestTransform(t, func(testing.TB) stagetest.TransformFixture[string, int] {
			mine := stage.Map(func(_ context.Context, s string) (int, error) { return len(s), nil })
			return stagetest.TransformFixture[string, int]{
				Transform: mine,
				In:        func(i int) string { return strings.Repeat("x", i) },
			}
		})
	}
}
