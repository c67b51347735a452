package source_test

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// listener dials, and notes which kinds of requests go over each connection.
type listener struct {
	mu    sync.Mutex
	conns []*heard
}

type heard struct {
	net.Conn
	by   *listener
	keys map[kmsg.Key]bool
}

func (l *listener) Dial(network, addr string) (net.Conn, error) {
	conn, err := net.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	c := &heard{Conn: conn, by: l, keys: make(map[kmsg.Key]bool)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
	return c, nil
}

// Write is called with a whole request: its length, then what it is.
func (c *heard) Write(b []byte) (int, error) {
	if len(b) > 6 && int(binary.BigEndian.Uint32(b)) == len(b)-4 {
		c.by.mu.Lock()
		c.keys[kmsg.Key(binary.BigEndian.Uint16(b[4:]))] = true
		c.by.mu.Unlock()
	}
	return c.Conn.Write(b)
}

// TestCommitsDoNotWaitForFetches: brokers answer the requests of a connection
// one after another, and a fetch takes as long as there is nothing new.
func TestCommitsDoNotWaitForFetches(t *testing.T) {
	b := kafkatest.Start(t, "in", "out")
	b.Produce(t, "in", raw("a", "1"), raw("b", "2"))
	c := b.Cluster()
	l := &listener{}
	config := c.Config
	c.Config = func(cfg *sarama.Config) {
		if config != nil {
			config(cfg)
		}
		cfg.Net.Proxy.Enable, cfg.Net.Proxy.Dialer = true, l
	}
	s := copier(c, source.UntilEnd())
	s.CommitInterval = 10 * time.Millisecond
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fetches, commits := 0, 0
	for _, c := range l.conns {
		fetch, commit := c.keys[kmsg.Fetch], c.keys[kmsg.OffsetCommit]
		if fetch {
			fetches++
		}
		if commit {
			commits++
		}
		if fetch && commit {
			t.Error("a connection fetches and commits")
		}
	}
	if fetches == 0 || commits == 0 {
		t.Errorf("%d connections have fetched and %d have committed", fetches, commits)
	}
}
