package source

import (
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
)

// bound watches one claim of a bounded run for its end. The zero value is of
// an unbounded run.
type bound struct {
	on    bool
	end   int64 // the first offset that is not read
	next  int64 // what would come next if there were no gaps
	quiet time.Time
	timer *time.Timer
	over  bool
}

// silence is how long a partition below its end must be silent, with all the
// broker has in sight, to count as read: its last offsets are a transaction's
// markers, or were compacted away.
const silence = 2 * time.Second

// bound gives the claim's bound.
func (r *groupReader) bound(l *claimLane, c sarama.ConsumerGroupClaim) *bound {
	end, ok := r.ends[l.topic][l.partition]
	if !ok {
		return &bound{}
	}
	b := &bound{on: true, end: end, next: c.InitialOffset()}
	b.rest()
	return b
}

func (b *bound) rest() {
	b.quiet = time.Now()
	b.timer = time.NewTimer(silence)
}

// idle wakes the claim to look whether it is at its end. It is nil, and so
// never does, where there is nothing to wait for.
func (b *bound) idle() <-chan time.Time {
	if !b.on || b.over {
		return nil
	}
	return b.timer.C
}

// cut drops the records that the run does not want.
func (b *bound) cut(recs []stage.Raw) []stage.Raw {
	if !b.on {
		return recs
	}
	b.rest()
	for i := range recs {
		if recs[i].Offset >= b.end {
			recs = recs[:i]
			b.next = b.end
			break
		}
		b.next = recs[i].Offset + 1
	}
	return recs
}

// reached reports, once, that the claim is at its end.
func (b *bound) reached(c sarama.ConsumerGroupClaim) bool {
	if !b.on || b.over {
		return false
	}
	if b.next >= b.end {
		b.over = true
	} else if time.Since(b.quiet) >= silence {
		b.rest()
		b.over = c.HighWaterMarkOffset() >= b.end
	}
	return b.over
}

// finished reports whether a bounded run has delivered all it has: every
// partition that this process holds. What it does not hold is other members'
// to finish. The caller holds the lock.
func (r *groupReader) finished() bool {
	if !r.opts.bounded || r.session == nil {
		return false
	}
	held := 0
	for topic, partitions := range r.session.Claims() {
		for _, p := range partitions {
			held++
			if r.ends[topic][p] == 0 {
				continue // it was empty
			}
			if !r.atEnd(topic, p) {
				return false
			}
		}
	}
	return held > 0
}

func (r *groupReader) atEnd(topic string, partition int32) bool {
	for l := range r.lanes {
		if l.topic == topic && l.partition == partition {
			return l.atEnd && len(l.queue) == 0
		}
	}
	return false
}
