package source_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// hung listens, accepts, and never says a word.
func hung(t *testing.T) (addr string, accepted func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String(), func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(conns)
	}
}

// TestHungBrokerAtTheStart: it does not keep the start longer than
// StartTimeout, whatever step it does not answer.
func TestHungBrokerAtTheStart(t *testing.T) {
	for name, config := range map[string]func(*sarama.Config){
		"plain":        nil,
		"TLS":          useTLS(&tls.Config{}),
		"PLAIN login":  plain(secret),
		"SCRAM login":  scram512(secret),
		"TLS and SASL": settings(useTLS(&tls.Config{}), plain(secret)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, accepted := hung(t)
			c := &kafka.Cluster{Brokers: []string{addr}, Config: config, StartTimeout: 2 * time.Second}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := stage.Run(ctx, copier(c))
			if err == nil || !strings.Contains(err.Error(), "no broker answers at "+addr) || leaks(err.Error()) {
				t.Errorf("%v", err)
			}
			if accepted() == 0 {
				t.Error("nobody has knocked")
			}
		})
	}
}

// TestHungBrokerBesideAnother: one that answers is enough.
func TestHungBrokerBesideAnother(t *testing.T) {
	b := kafkatest.Start(t, "in")
	for range 6 { // sarama begins with any of them
		t.Run("", func(t *testing.T) {
			t.Parallel()
			addr, accepted := hung(t)
			c := &kafka.Cluster{Brokers: []string{addr, b.Addrs()[0]}, StartTimeout: 20 * time.Second}
			if err := c.Check(t.Context(), "in"); err != nil {
				t.Error(err)
			}
			if accepted() == 0 {
				t.Error("nobody has knocked at the hung one")
			}
		})
	}
}
