package link

import (
	"encoding/binary"
	"net"
	"sync"
)

// conn is a connection of a [Link]. It knows as much of Kafka's protocol as
// tells requests and answers apart: both begin with their length in 4 bytes.
// A request goes on with its kind (2 bytes), version (2) and number (4), an
// answer with the number of its request (4).
type conn struct {
	net.Conn
	link   *Link
	once   sync.Once
	closed chan struct{}

	mu    sync.Mutex
	asked map[int32]question // without an answer yet, by number
	deaf  bool               // nothing is heard any more
	over  bool

	// Only the reader needs these.
	head []byte // of the answer that comes in
	body int    // what is missing of its rest
}

type question struct {
	key  int16
	loss *Loss
}

// Write sends a request; sarama writes each in one call.
func (c *conn) Write(b []byte) (int, error) {
	c.hang()
	if len(b) < 12 {
		return c.Conn.Write(b)
	}
	q := question{key: int16(binary.BigEndian.Uint16(b[4:]))}
	q.loss = c.link.lose(q.key)
	if c.link.Sent != nil {
		c.link.Sent(q.key)
	}
	c.mu.Lock()
	if q.loss != nil && q.loss.fate == RequestLost {
		c.deaf = true
		close(q.loss.happened)
	}
	deaf := c.deaf
	if !deaf && !c.over {
		c.asked[int32(binary.BigEndian.Uint32(b[8:]))] = q
		c.link.wait(q.key, 1)
	}
	c.mu.Unlock()
	if deaf {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read hands on what the broker answers, up to an answer that gets lost.
func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		keep, lost := c.scan(b[:n])
		c.hang()
		switch {
		case lost != nil && lost.fate == ReplyCut:
			_ = c.Conn.Close() // the next read says so
			if keep == 0 {
				return 0, errCut
			}
		case keep == 0 && err == nil:
			continue // and nobody hears it; the deadline ends it
		}
		return keep, err
	}
}

// scan finds the answers in what came in. It returns how much of it is to be
// handed on, and the loss that begins behind that.
func (c *conn) scan(b []byte) (keep int, lost *Loss) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deaf {
		return 0, nil
	}
	for i := 0; i < len(b); {
		if c.body > 0 {
			n := min(c.body, len(b)-i)
			c.body -= n
			i += n
			continue
		}
		n := min(8-len(c.head), len(b)-i)
		c.head = append(c.head, b[i:i+n]...)
		if len(c.head) == 8 {
			c.body = int(binary.BigEndian.Uint32(c.head)) - 4
			number := int32(binary.BigEndian.Uint32(c.head[4:]))
			c.head = c.head[:0]
			q, ok := c.asked[number]
			delete(c.asked, number)
			if ok {
				c.link.wait(q.key, -1)
			}
			if q.loss != nil {
				c.deaf = true
				close(q.loss.happened)
				return i, q.loss
			}
		}
		i += n
	}
	return len(b), nil
}

// hang holds up whoever calls it while the link hangs.
func (c *conn) hang() {
	if hung := c.link.hanging(); hung != nil {
		select {
		case <-hung:
		case <-c.closed:
		}
	}
}

// Close closes the connection.
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.mu.Lock()
		for number, q := range c.asked {
			delete(c.asked, number)
			c.link.wait(q.key, -1)
		}
		c.over = true
		c.mu.Unlock()
	})
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}
