package stage

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// stallWarning is how old a call of a transform, or the oldest record of a
// lane, gets before somebody hears of it.
const stallWarning = time.Minute

// StallError stops a stage: one call of its transform takes longer than
// [Stage.StallTimeout].
type StallError struct {
	Stage     string
	Topic     string // of the first record of the batch that the call got
	Partition int32
	Offset    int64
	Records   int           // in the batch
	For       time.Duration // how long the call has taken, at least
}

// Error names the record and says what the stage does about it.
func (e *StallError) Error() string {
	return fmt.Sprintf("stage %q: record %s/%d@%d: a call of the transform (%d records) has not returned for %v, which is more than StallTimeout; the stage stops, so that its partitions go to others",
		e.Stage, e.Topic, e.Partition, e.Offset, e.Records, e.For)
}

// call is the transform's call that a worker is in, for who watches it.
type call struct {
	mu    sync.Mutex
	n     int64 // counts calls
	batch []*task
}

func (c *call) begin(batch []*task) {
	c.mu.Lock()
	c.n++
	c.batch = batch
	c.mu.Unlock()
}

func (c *call) end() {
	c.mu.Lock()
	c.batch = nil
	c.mu.Unlock()
}

// has reports whether the call is about a record.
func (c *call) has(t *tenure, offset int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.batch, func(k *task) bool { return k.tenure == t && k.raw.Offset == offset })
}

// sighting is what was seen unchanged since some time.
type sighting struct {
	id    int64
	since time.Time
	next  time.Duration // the age that is worth a word again
}

// age returns how long id was seen, at least, and whether to speak of it: at
// first, and whenever that has doubled.
func (s *sighting) age(id int64, now time.Time, first time.Duration) (age time.Duration, speak bool) {
	if s.id != id || s.since.IsZero() {
		*s = sighting{id: id, since: now, next: first}
	}
	age = now.Sub(s.since)
	for age >= s.next {
		s.next *= 2
		speak = true
	}
	return age, speak
}

// watchStalls looks, until stop is closed, for calls that do not return and for
// lanes that do not move. Kafka's Java client gives up the partitions of a
// process that hangs (max.poll.interval.ms); sarama keeps them for ever.
func (e *engine) watchStalls(stop <-chan struct{}) {
	first := stallWarning
	if e.stallTimeout > 0 {
		first = max(min(first, e.stallTimeout/2), time.Millisecond)
	}
	tick := time.NewTicker(max(first/10, time.Millisecond))
	defer tick.Stop()
	calls := make([]sighting, len(e.calls))
	lanes := make(map[*tenure]*sighting)
	for {
		select {
		case now := <-tick.C:
			for i := range e.calls {
				e.lookAtCall(&e.calls[i], &calls[i], now, first)
			}
			e.lookAtLanes(lanes, now, first)
		case <-stop:
			return
		}
	}
}

func (e *engine) lookAtCall(c *call, seen *sighting, now time.Time, first time.Duration) {
	c.mu.Lock()
	if len(c.batch) == 0 {
		c.mu.Unlock()
		*seen = sighting{}
		return
	}
	age, speak := seen.age(c.n, now, first)
	k := c.batch[0]
	stall := &StallError{
		Stage: e.name, Topic: k.raw.Topic, Partition: k.raw.Partition, Offset: k.raw.Offset,
		Records: len(c.batch), For: age,
	}
	c.mu.Unlock()
	if speak {
		e.log.Warn("a call of the transform does not return",
			"topic", stall.Topic, "partition", stall.Partition, "offset", stall.Offset, "records", stall.Records, "for", age)
	}
	if e.stallTimeout > 0 && age >= e.stallTimeout {
		e.fail(stall)
	}
}

// lookAtLanes speaks of records that nothing becomes of, but for those in a
// transform: a writer may never answer, or there is no end to the attempts.
func (e *engine) lookAtLanes(seen map[*tenure]*sighting, now time.Time, first time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for t := range seen {
		if e.tenures[t.lane] != t {
			delete(seen, t)
		}
	}
	for _, t := range e.tenures {
		if t.tracker.Pending() == 0 {
			delete(seen, t)
			continue
		}
		if seen[t] == nil {
			seen[t] = new(sighting)
		}
		offset := t.tracker.First()
		age, speak := seen[t].age(offset, now, first)
		if !speak || e.inCall(t, offset) {
			continue
		}
		waits := "a writer's answer"
		switch {
		case len(t.paused)+len(t.unwritten) > 0:
			waits = "another attempt, or a writer's answer"
		case e.takeable > 0:
			waits = "a free worker, or a writer's answer"
		}
		topic, partition := t.lane.ID()
		e.log.Warn("the oldest record of a partition is not finished",
			"topic", topic, "partition", partition, "offset", offset, "in_flight", t.inFlight, "waits_for", waits, "for", age)
	}
}

func (e *engine) inCall(t *tenure, offset int64) bool {
	for i := range e.calls {
		if e.calls[i].has(t, offset) {
			return true
		}
	}
	return false
}
