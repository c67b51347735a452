package kafka_test

import (
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage/kafka"
)

// All that sarama knows can be set; it is called for each client anew.
func ExampleCluster() {
	_ = &kafka.Cluster{
		Brokers: []string{"kafka-1:9093", "kafka-2:9093"},
		Config: func(c *sarama.Config) {
			c.ClientID = "embedder"
			c.Net.TLS.Enable = true
			c.Consumer.Group.Session.Timeout = 45 * time.Second
		},
	}
}
