package stage

import (
	"bytes"
	"slices"
	"time"
)

// Raw is a record as it travels: bytes, headers, and where it came from. The
// engine moves Raws; codecs at the edges of a stage turn them into values.
type Raw struct {
	Key     []byte // nil: no key
	Value   []byte // nil: a tombstone
	Headers []Header
	Time    time.Time // zero: not known; a sink then lets the broker set it

	// Topic, Partition and Offset say where a record was read, or, for one to
	// be written, its topic; the partitioner chooses the partition.
	Topic     string
	Partition int32
	target    int32 // of an output: the number of its target in the stage
	Offset    int64
}

// Header is one header of a record. Keys may repeat.
type Header struct {
	Key   string
	Value []byte
}

// Header gives the value of the last header with that key, as Kafka's own
// clients do, and whether there is one.
func (r *Raw) Header(key string) ([]byte, bool) {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}

// clone copies all bytes, so that they keep no larger piece of memory.
func (r *Raw) clone() *Raw {
	c := *r
	c.Key, c.Value, c.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), slices.Clone(r.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return &c
}

// size is what a record takes in memory, nearly.
func (r *Raw) size() int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Record is a value with all that surrounds it, for a [Transform] that needs
// more than the value. A source gives Records when asked by
// source.WithRecord, a sink takes them by sink.FromRecord.
type Record[T any] struct {
	Value T
	Raw   // Raw.Value holds the bytes Value was made from; a sink ignores them
}

// Mark is how far a lane is done: what a commit says.
type Mark struct {
	// Offset is the low-water mark, the next offset to read: every record
	// that was delivered below it is done.
	Offset int64
	// Done says which records above Offset are done as well, for a
	// [ResumableLane]: ASCII without a space, that only a stage reads.
	Done string
	// Note is what a [LaneWriter] wants kept, "" mostly: printable ASCII. A
	// commit that can't keep it must fail. Done and Note have less than 4,096
	// bytes together.
	Note string
}
