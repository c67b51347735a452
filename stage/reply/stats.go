package reply

import "sync/atomic"

// Stats counts, since [Dial], what became of questions and what was read. Asked
// is the sum of Answered, Failed, GivenUp and Waiting, but for what happens
// while they are read.
type Stats struct {
	Waiting  int    // questions that wait for an answer now
	Asked    uint64 // questions that found room
	Written  uint64 // questions that are on their topic for certain
	Answered uint64 // by an answer in time, readable or not
	Failed   uint64 // given up by a stage, not written, or closed
	GivenUp  uint64 // by their askers: no answer in time, or cancelled

	Late      uint64 // replies after their question's deadline
	Unclaimed uint64 // replies in time that nobody waited for: second ones, or of cancelled questions
	Foreign   uint64 // records of others
}

// counters are what Stats is made of.
type counters struct {
	asked, written, answered, failed, givenUp, late, unclaimed, foreign atomic.Uint64
}

func (c *client) stats() Stats {
	n := &c.counters
	return Stats{
		Waiting: c.waiting.len(), Asked: n.asked.Load(), Written: n.written.Load(),
		Answered: n.answered.Load(), Failed: n.failed.Load(), GivenUp: n.givenUp.Load(),
		Late: n.late.Load(), Unclaimed: n.unclaimed.Load(), Foreign: n.foreign.Load(),
	}
}
