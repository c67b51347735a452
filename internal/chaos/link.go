package chaos

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Link is a process's way to the brokers, which can be cut, hung and slowed
// down. It is a dialer for sarama's Config.Net.Proxy. The zero value works.
type Link struct {
	mu    sync.Mutex
	conns map[*conn]struct{}
	dead  bool
	hung  chan struct{} // closed when it goes on; nil: it does not hang
	delay time.Duration
}

var errCut = errors.New("chaos: the link is cut")

// Dial opens a connection.
func (l *Link) Dial(network, addr string) (net.Conn, error) {
	l.mu.Lock()
	dead := l.dead
	l.mu.Unlock()
	if dead {
		return nil, errCut
	}
	// A dialer for sarama gets no context.
	inner, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), network, addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, link: l, closed: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		_ = inner.Close()
		return nil, errCut
	}
	if l.conns == nil {
		l.conns = make(map[*conn]struct{})
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// Cut closes all connections; new ones are let through. It returns how many
// there were.
func (l *Link) Cut() int {
	l.mu.Lock()
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close()
	}
	return len(conns)
}

// Kill is what a dying process does to its connections: they end, and there
// will be no others.
func (l *Link) Kill() {
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	l.Cut()
}

// Hang stops all traffic until the returned function is called, as SIGSTOP
// does to a process, or a firewall that drops packets.
func (l *Link) Hang() (resume func()) {
	hung := make(chan struct{})
	l.mu.Lock()
	l.hung = hung
	l.mu.Unlock()
	return sync.OnceFunc(func() {
		l.mu.Lock()
		l.hung = nil
		l.mu.Unlock()
		close(hung)
	})
}

// Delay holds up each read and write for so long.
func (l *Link) Delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

func (l *Link) state() (hung chan struct{}, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hung, l.delay
}

type conn struct {
	net.Conn
	link   *Link
	once   sync.Once
	closed chan struct{}
}

func (c *conn) wait() {
	hung, delay := c.link.state()
	if hung != nil {
		select {
		case <-hung:
		case <-c.closed:
		}
	}
	if delay > 0 {
		time.Sleep(delay)
	}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wait()
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	c.wait()
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}
