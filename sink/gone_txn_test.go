//go:build !race

// Without -race for the reason in fence_test.go.

package sink_test

import (
	"testing"

	"github.com/millrace-go/millrace/stage"
)

func TestSinkTopicIsDeletedInATransaction(t *testing.T) { deleteSinkTopic(t, stage.ExactlyOnce) }

func TestRecordsInATransactionChooseTopicsThatDoNotExist(t *testing.T) {
	chooseTopics(t, stage.ExactlyOnce)
}
