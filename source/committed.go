package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

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
		var m stage.Mark
		if m, err = r.committed(c.Topic(), c.Partition()); err == nil {
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

// committed asks the group's coordinator for one partition.
func (r *groupReader) committed(topic string, partition int32) (stage.Mark, error) {
	broker, err := r.client.Coordinator(r.opts.group)
	if err != nil {
		return stage.Mark{}, fmt.Errorf("source: coordinator of group %q: %w", r.opts.group, err)
	}
	req := sarama.NewOffsetFetchRequest(r.client.Config().Version, r.opts.group, map[string][]int32{topic: {partition}})
	req.RequireStable = true
	resp, err := broker.FetchOffset(req)
	if err == nil {
		b := resp.GetBlock(topic, partition)
		switch {
		case !errors.Is(resp.Err, sarama.ErrNoError):
			err = resp.Err
		case b == nil:
			err = sarama.ErrIncompleteResponse
		case !errors.Is(b.Err, sarama.ErrNoError):
			err = b.Err
		default:
			return stage.Mark{Offset: b.Offset, Done: b.Metadata}, nil
		}
	}
	_ = r.client.RefreshCoordinator(r.opts.group) // it may have moved; the next try says
	return stage.Mark{}, fmt.Errorf("source: committed offset of %s/%d: %w", topic, partition, err)
}
