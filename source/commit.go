package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/member"
	"github.com/millrace-go/millrace/stage"
)

// Commit asks the group's coordinator by itself. sarama's own commit does not
// say whether it went well, nor does it try again, and it takes no new
// metadata at an offset that stands.
func (r *groupReader) Commit(ctx context.Context, marks map[stage.Lane]stage.Mark) error {
	done := make(chan error, 1)
	go func() { done <- r.commit(marks) }() // a request takes no context
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("source: commit for group %q: %w", r.opts.group, ctx.Err())
	}
}

func (r *groupReader) commit(marks map[stage.Lane]stage.Mark) error {
	// One at a time, and without lanes that were released: an older commit
	// must not arrive behind a newer one, nor in the next tenure.
	r.commits.Lock()
	defer r.commits.Unlock()
	err := r.send(marks, r.plain)
	if errors.Is(err, sarama.ErrOffsetMetadataTooLarge) {
		if r.notes { // of what the done map covers they say nothing
			err = stage.Permanent(fmt.Errorf("source: commit for group %q: the broker takes too little metadata with a commit for a sink that keeps notes there; raise offset.metadata.max.bytes to 4,096, or write at least once: %w", r.opts.group, err))
			r.fail(err)
			return err
		}
		r.plain = true
		r.log.Warn("the broker takes too little metadata with a commit (offset.metadata.max.bytes below 4,096): after a restart, all above the low-water mark is done again", "err", err)
		err = r.send(marks, true)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("source: commit for group %q: %w", r.opts.group, err)
	if r.failed() && r.hopeless(err) != "" {
		return stage.Permanent(err)
	}
	return err
}

// send sends one commit, plain or with what is done above the marks.
func (r *groupReader) send(marks map[stage.Lane]stage.Mark, plain bool) error {
	var meta *sarama.ConsumerGroupMetadata
	req := &sarama.OffsetCommitRequest{Version: 8}
	blocks := 0
	for l, m := range marks {
		if l := l.(*claimLane); !l.isReleased() {
			meta = l.Metadata()
			if plain {
				m.Done = ""
			}
			req.AddBlockWithLeaderEpoch(l.topic, l.partition, m.Offset, -1, 0, member.Metadata(m))
			blocks++
		}
	}
	if blocks == 0 {
		return nil
	}
	req.ConsumerGroup, req.ConsumerGroupGeneration = meta.GroupID, meta.GenerationID
	req.ConsumerID, req.GroupInstanceId = meta.MemberID, meta.GroupInstanceID
	return member.Commit(r.offsets, req)
}

// end waits for a commit that may still hold marks of a lane that was released;
// none that begins now does.
func (r *groupReader) end() {
	r.commits.Lock()
	defer r.commits.Unlock()
}
