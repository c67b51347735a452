package kafka_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
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

// TLS with a CA of one's own, and a password that comes from outside. For TLS
// of both sides, Certificates holds the client's own.
func ExampleSCRAM512() {
	authorities := x509.NewCertPool()
	_ = &kafka.Cluster{
		Brokers: []string{"kafka-1:9093"},
		Config: func(c *sarama.Config) {
			c.Net.TLS.Enable = true
			c.Net.TLS.Config = &tls.Config{RootCAs: authorities}
			kafka.SCRAM512(c, "embedder", os.Getenv("KAFKA_PASSWORD"))
		},
	}
}

// A token that an identity provider has issued, and renews before it expires.
func ExampleOAuthBearer() {
	var tokens interface { // such as an oauth2.TokenSource
		Token(ctx context.Context) (string, error)
	}
	_ = &kafka.Cluster{
		Brokers: []string{"kafka-1:9093"},
		Config: func(c *sarama.Config) {
			c.Net.TLS.Enable = true
			kafka.OAuthBearer(c, func(ctx context.Context) (string, error) { return tokens.Token(ctx) })
		},
	}
}
