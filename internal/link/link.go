// Package link is a way to the brokers that can be cut and hung, and that loses
// requests and answers: for tests.
package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Link is a process's way to the brokers, which can be cut and hung, and can
// lose single requests or answers. It is a dialer for sarama's
// Config.Net.Proxy, without TLS. The zero value works.
type Link struct {
	// Sent, if set before the first connection, is called with each request's
	// kind, before the request leaves. It must not block.
	Sent func(key int16)

	mu      sync.Mutex
	conns   map[*conn]struct{}
	dead    bool
	hung    chan struct{} // closed when it goes on; nil: it does not hang
	losses  []*Loss       // that have not happened yet
	waiting map[int16]int // requests without an answer, by kind
}

var errCut = errors.New("link: the link is cut")

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
	c := &conn{Conn: inner, link: l, closed: make(chan struct{}), asked: make(map[int32]question)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		_ = inner.Close()
		return nil, errCut
	}
	if l.conns == nil {
		l.conns, l.waiting = make(map[*conn]struct{}), make(map[int16]int)
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// Cut closes all connections; new ones are let through. It returns how many
// there were.
func (l *Link) Cut() int {
	l.mu.Lock()
	conns := l.conns
	l.conns = make(map[*conn]struct{})
	l.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close()
	}
	return len(conns)
}

// Kill is what a dying process does to its connections: they end, and there
// will be no others. It returns how many there were.
func (l *Link) Kill() int {
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	return l.Cut()
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

// Waiting reports whether a request of this kind is on its way or with the
// broker, which has not answered it.
func (l *Link) Waiting(key int16) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting[key] > 0
}

// Lose arranges for the next request of a kind to go wrong.
func (l *Link) Lose(key int16, how Fate) *Loss {
	loss := &Loss{key: key, fate: how, happened: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.losses = append(l.losses, loss)
	return loss
}

// Fate is what becomes of a request.
type Fate int

const (
	// RequestLost is a request that never arrives. The connection lives on,
	// and nothing is heard on it any more.
	RequestLost Fate = iota
	// ReplyLost is a request that takes effect, but its answer never comes.
	// The connection lives on, and nothing is heard on it any more.
	ReplyLost
	// ReplyCut is a request that takes effect, and its connection ends in
	// place of the answer.
	ReplyCut
)

func (f Fate) String() string {
	return [...]string{"request lost", "reply lost", "reply cut"}[f]
}

// Loss is a request that goes wrong.
type Loss struct {
	key      int16
	fate     Fate
	happened chan struct{}
}

// Happened is closed when the request was lost, or its answer was.
func (l *Loss) Happened() <-chan struct{} { return l.happened }

func (l *Loss) String() string { return fmt.Sprintf("%v (kind %d)", l.fate, l.key) }

// lose takes the loss that is arranged for a request, if any.
func (l *Link) lose(key int16) *Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, loss := range l.losses {
		if loss.key == key {
			l.losses = append(l.losses[:i:i], l.losses[i+1:]...)
			return loss
		}
	}
	return nil
}

func (l *Link) wait(key int16, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[key] += n
}

func (l *Link) hanging() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hung
}
