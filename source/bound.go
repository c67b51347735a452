package source

import (
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
)

// bound is how far one claim of a bounded run reads: to the high-water mark at
// the start. What was committed by then may lie behind a transaction that was
// still open, so that a run waits until that one ends. The zero value is of an
// unbounded run.
type bound struct {
	on   bool
	end  int64         // the first offset that is not read
	next atomic.Int64  // what would come next if there were no gaps; below 0: as sarama.OffsetOldest
	none chan struct{} // closed when nothing is left to see below end
	over bool
}

// silence is how long nothing comes before the broker is asked whether
// anything is left.
const silence = 500 * time.Millisecond

// bound gives the claim's bound.
func (r *groupReader) bound(l *claimLane, c sarama.ConsumerGroupClaim) *bound {
	end, ok := r.ends[l.topic][l.partition]
	if !ok {
		return &bound{}
	}
	b := &bound{on: true, end: end, none: make(chan struct{})}
	b.next.Store(c.InitialOffset())
	r.gone.Go(func() { r.watch(l, b) })
	return b
}

// idle wakes the claim when nothing is left to wait for.
func (b *bound) idle() <-chan struct{} {
	if b.over {
		return nil
	}
	return b.none
}

// cut drops the records that the run does not want.
func (b *bound) cut(recs []stage.Raw) []stage.Raw {
	if !b.on {
		return recs
	}
	for i := range recs {
		if recs[i].Offset >= b.end {
			b.next.Store(b.end)
			return recs[:i]
		}
		b.next.Store(recs[i].Offset + 1)
	}
	return recs
}

// reached reports, once, that the claim is at its end.
func (b *bound) reached(sarama.ConsumerGroupClaim) bool {
	if !b.on || b.over {
		return false
	}
	select {
	case <-b.none:
		b.over = true
	default:
		b.over = b.next.Load() >= b.end
	}
	return b.over
}

// watch looks for the end of a claim whose last offsets hold nothing to read:
// markers of transactions, aborted records, gaps of compaction. Silence proves
// nothing, since a broker may be slow or away: it is an occasion to ask. A lane
// that the stage holds up is silent as well, and is not asked for.
func (r *groupReader) watch(l *claimLane, b *bound) {
	heard := b.next.Load()
	from := heard // nothing is left to see below
	said, wait := time.Now(), silence
	say := func(what string, args ...any) {
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			r.log.Warn(what, append(args, "group", r.opts.group, "topic", l.topic, "partition", l.partition)...)
		}
	}
	for {
		select {
		case <-time.After(wait):
		case <-l.revoked:
			return
		}
		wait = silence
		last := heard
		heard = b.next.Load()
		if heard >= b.end {
			return
		}
		if heard != last || r.busy(l) {
			continue
		}
		from = max(from, heard)
		next, left, err := r.probe(l.topic, l.partition, from)
		switch {
		case err != nil:
			say("the end of a partition can't be looked for yet", "err", err)
		case next >= b.end:
			close(b.none)
			return
		case left: // it comes
		case next > from:
			from, wait = next, 0
		default:
			say("the end of a partition is not in sight yet, perhaps behind an open transaction", "offset", from, "end", b.end)
		}
	}
}

// busy reports whether the stage has not taken all there is of a lane.
func (r *groupReader) busy(l *claimLane) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return l.paused || l.held || len(l.queue) > 0
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
