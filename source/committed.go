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
// again, so that it is worth a few tries but no error.
func (r *groupReader) startOf(ctx context.Context, c sarama.ConsumerGroupClaim) stage.Mark {
	if c.InitialOffset() < 0 {
		return stage.Mark{} // nothing is committed
	}
	var err error
	for try := range 5 {
		if try > 0 {
			select {
			case <-time.After(100 * time.Millisecond << try):
			case <-ctx.Done():
				return stage.Mark{}
			}
		}
		p := member.Partition{Topic: c.Topic(), ID: c.Partition()}
		var marks map[member.Partition]stage.Mark
		if marks, err = member.Committed(r.offsets, r.opts.group, p); err == nil {
			m := marks[p]
			if m.Offset != c.InitialOffset() {
				return stage.Mark{} // nothing was committed, or by somebody else meanwhile
			}
			return m
		}
	}
	r.log.Warn("what is done above the committed offset is not known, so it is done again",
		"group", r.opts.group, "topic", c.Topic(), "partition", c.Partition(), "err", err)
	return stage.Mark{}
}
