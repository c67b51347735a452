package sink

import (
	"slices"
	"sync/atomic"

	"github.com/millrace-go/millrace/internal/message"
)

// shipment is the messages of one Write, in one piece of memory that serves
// again when all are written.
type shipment struct {
	producer *producer
	parcels  []parcel
	done     func(i int, err error)
	left     atomic.Int32 // without an answer
	failed   atomic.Bool  // one has failed: sarama may still look at it after it has said so
}

// parcel is a message, and the way back from its answer to who asked.
type parcel struct {
	message.Outgoing
	shipment *shipment
	i        int
}

// load makes a shipment of n parcels.
func (p *producer) load(n int, done func(i int, err error)) []parcel {
	s, ok := p.shipments.Get().(*shipment)
	if !ok {
		s = &shipment{producer: p}
	}
	s.parcels, s.done = slices.Grow(s.parcels, n)[:n], done
	s.left.Store(int32(n))
	for i := range s.parcels {
		k := &s.parcels[i]
		k.shipment, k.i, k.Message.Metadata = s, i, k
	}
	return s.parcels
}

// answer tells who asked what became of the parcel, which must not be used
// after that. It is called once.
func (k *parcel) answer(err error) {
	s := k.shipment
	s.done(k.i, err)
	if err != nil {
		s.failed.Store(true)
	}
	if s.left.Add(-1) > 0 || s.failed.Load() || !s.producer.reuse {
		return
	}
	clear(s.parcels)
	s.parcels, s.done = s.parcels[:0], nil
	s.producer.shipments.Put(s)
}
