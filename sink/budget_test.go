package sink

import (
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage/kafka"
)

// TestCommitBudgetStaysBelowRebalanceTimeout, whatever of it the user has set.
// source.Kafka refuses a rebalance timeout that a drain would nearly fill.
func TestCommitBudgetStaysBelowRebalanceTimeout(t *testing.T) {
	for _, on := range []struct{ rebalance, drain, want time.Duration }{
		{0, 30 * time.Second, 15 * time.Second},
		{0, time.Second, 15 * time.Second},
		{5 * time.Second, 2 * time.Second, 1500 * time.Millisecond},
		{10 * time.Minute, 5 * time.Minute, 15 * time.Second},
	} {
		c := &kafka.Cluster{Config: func(cfg *sarama.Config) {
			if on.rebalance > 0 {
				cfg.Consumer.Group.Rebalance.Timeout = on.rebalance
			}
		}}
		cfg, err := c.TransactionConfig("id")
		if err != nil {
			t.Fatal(err)
		}
		got := commitBudget(cfg, on.drain)
		if got != on.want || on.drain+got >= cfg.Consumer.Group.Rebalance.Timeout {
			t.Errorf("rebalance %v, drain %v: %v, want %v", cfg.Consumer.Group.Rebalance.Timeout, on.drain, got, on.want)
		}
	}
}
