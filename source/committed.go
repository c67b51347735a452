package source

import (
	"context"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/member"
	"github.com/millrace-go/millrace/stage"
)

// startOf looks up what was committed with the offset that a claim begins at.
// sarama keeps that to itself. Without it, everything above the offset is done
// again, so that it is worth a few tries but no error; unless there may be a
// note, without which nothing can begin: ok is false if ctx ends before it is
// known.
func (r *groupReader) startOf(ctx context.Context, c sarama.ConsumerGroupClaim) (m stage.Mark, ok bool) {
	if c.InitialOffset() < 0 {
		return stage.Mark{}, true // nothing is committed
	}
	var err error
	for try := 0; try < 5 || r.notes; try++ {
		if try > 0 {
			if try%5 == 0 {
				r.log.Warn("a partition can't begin, since nobody knows yet what was noted when it was committed last",
					"group", r.opts.group, "topic", c.Topic(), "partition", c.Partition(), "err", err)
			}
			select {
			case <-time.After(min(100*time.Millisecond<<min(try, 5), time.Second)):
			case <-ctx.Done():
				return stage.Mark{}, !r.notes
			}
		}
		p := member.Partition{Topic: c.Topic(), ID: c.Partition()}
		var marks map[member.Partition]stage.Mark
		if marks, err = member.Committed(r.offsets, r.opts.group, p); err == nil {
			m := marks[p]
			if m.Offset != c.InitialOffset() { // somebody has committed meanwhile
				return stage.Mark{Offset: c.InitialOffset(), Note: m.Note}, true
			}
			return m, true
		}
	}
	r.log.Warn("what is done above the committed offset is not known, so it is done again",
		"group", r.opts.group, "topic", c.Topic(), "partition", c.Partition(), "err", err)
	return stage.Mark{}, true
}
