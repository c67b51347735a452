//go:build !race

// Without -race for the reason in fence_test.go: the suite aborts while writes
// are under way.

package sink_test

import (
	"testing"

	"github.com/millrace-go/millrace/stage/stagetest"
)

func TestKafkaInTransactionsPassesTheSuite(t *testing.T) {
	stagetest.TestSink(t, func(tb testing.TB) stagetest.SinkFixture[[]byte] {
		b, f := kafkaSink(tb)
		f.Transaction = transaction(tb, b)
		return f
	})
}

func TestTeeInTransactionsPassesTheSuite(t *testing.T) { teeSuite(t, true) }
