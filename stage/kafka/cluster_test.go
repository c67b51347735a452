package kafka_test

import (
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

func TestConsumerConfigRefusesWhatBreaksAPromise(t *testing.T) {
	shared := sarama.NewBalanceStrategySticky()
	for name, on := range map[string]struct {
		set  func(*sarama.Config)
		want string // nothing: it is taken
	}{
		"nothing": {func(*sarama.Config) {}, ""},
		"read uncommitted": {
			func(c *sarama.Config) { c.Consumer.IsolationLevel = sarama.ReadUncommitted },
			"Consumer.IsolationLevel is not ReadCommitted",
		},
		"a shared strategy": {
			func(c *sarama.Config) {
				c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange(), shared}
			},
			"make a new one in each call",
		},
		"a shared strategy in the old field": {
			func(c *sarama.Config) { c.Consumer.Group.Rebalance.Strategy = shared },
			"make a new one in each call",
		},
		"a strategy of its own": {
			func(c *sarama.Config) {
				c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategySticky()}
			},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := &kafka.Cluster{Brokers: []string{"127.0.0.1:1"}, Config: on.set}
			_, err := c.ConsumerConfig(sarama.OffsetOldest)
			if on.want == "" && err != nil {
				t.Error(err)
			}
			if on.want != "" && (err == nil || !strings.Contains(err.Error(), on.want)) {
				t.Errorf("%v, want %q", err, on.want)
			}
		})
	}
}

func TestCheckNamesBrokersThatAreTooOld(t *testing.T) {
	for _, on := range []struct {
		kafka *kversion.Versions
		want  string // nothing: it will do
	}{
		{kversion.V2_4_0(), "TxnOffsetCommit up to version 2 instead of 3); upgrade it to Kafka 2.5 or later"},
		{kversion.V2_5_0(), ""},
	} {
		b, err := kafkatest.New(kafkatest.Options{Fake: []kfake.Opt{kfake.MaxVersions(on.kafka)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		c := b.Cluster()
		c.StartTimeout = 10 * time.Second
		err = c.Check(t.Context())
		if on.want == "" && err != nil {
			t.Error(err)
		}
		if on.want != "" && (err == nil || !strings.Contains(err.Error(), on.want) || !strings.Contains(err.Error(), b.Addrs()[0])) {
			t.Errorf("%v, want %q", err, on.want)
		}
	}
}
