package embed

import (
	"container/list"
	"hash/maphash"
	"sync"
)

// recent keeps what was made of the texts that were asked for last. It is safe
// for concurrent use; a nil one keeps nothing.
type recent struct {
	seeds [2]maphash.Seed
	limit int

	mu    sync.Mutex
	order list.List // of *remembered; the one asked for last is first
	texts map[textKey]*list.Element
}

// textKey stands for a text, however long that is: 128 bits of a hash whose
// seeds nobody knows.
type textKey [2]uint64

type remembered struct {
	key textKey
	result
}

func newRecent(limit int) *recent {
	if limit == 0 {
		return nil
	}
	return &recent{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		limit: limit,
		texts: map[textKey]*list.Element{},
	}
}

func (c *recent) key(text string) textKey {
	return textKey{maphash.String(c.seeds[0], text), maphash.String(c.seeds[1], text)}
}

// get gives a copy of what was made of a text, in into's memory if it has any.
func (c *recent) get(text string, into *result) bool {
	if c == nil {
		return false
	}
	key := c.key(text)
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.texts[key]
	if !ok {
		return false
	}
	c.order.MoveToFront(e)
	from := &e.Value.(*remembered).result
	*into = result{append(into.values[:0], from.values...), from.tokens, from.truncated, nil}
	return true
}

// put keeps a copy of what was made of a text, and drops the one that nobody
// asked for longest.
func (c *recent) put(text string, r *result) {
	if c == nil || r.err != nil {
		return
	}
	key := c.key(text)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.texts[key]; ok {
		return // another call was faster
	}
	mine := &remembered{key: key}
	if len(c.texts) == c.limit {
		oldest := c.order.Back()
		mine = c.order.Remove(oldest).(*remembered)
		delete(c.texts, mine.key)
	}
	mine.key = key
	mine.result = result{append(mine.values[:0], r.values...), r.tokens, r.truncated, nil}
	c.texts[key] = c.order.PushFront(mine)
}
