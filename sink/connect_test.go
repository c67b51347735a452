package sink_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// TestStopWhileAProducerConnects: the brokers were there when the start was
// checked, and are gone. sarama would try for five minutes.
func TestStopWhileAProducerConnects(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c := &kafka.Cluster{Brokers: []string{gone}, StartTimeout: 50 * time.Millisecond}
	s := sink.Kafka(c, topic("out"))
	opened := make(chan error, 1)
	go func() {
		_, err := s.Targets[0].Open(ctx, stage.Env{Logger: slog.New(slog.DiscardHandler)})
		opened <- err
	}()
	select {
	case err := <-opened:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it still connects")
	}
}
