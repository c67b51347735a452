// Package member is what the Kafka source and sink know of each other: whose
// offsets a transaction commits.
package member

import (
	"errors"
	"fmt"
	"strings"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
)

// Lane is a lane of a consumer group's member.
type Lane interface {
	stage.Lane
	// Metadata identifies the member as it is now: its generation changes
	// while a lane lives on.
	Metadata() *sarama.ConsumerGroupMetadata
}

// Partition names a partition.
type Partition struct {
	Topic string
	ID    int32
}

// Committed asks the group's coordinator what is committed for partitions. It
// waits for no transaction: while one that holds offsets of theirs is not
// settled, the answer is an error.
func Committed(client sarama.Client, group string, of ...Partition) (map[Partition]stage.Mark, error) {
	broker, err := client.Coordinator(group)
	if err != nil {
		return nil, fmt.Errorf("coordinator of group %q: %w", group, err)
	}
	ask := make(map[string][]int32)
	for _, p := range of {
		ask[p.Topic] = append(ask[p.Topic], p.ID)
	}
	req := sarama.NewOffsetFetchRequest(client.Config().Version, group, ask)
	req.RequireStable = true
	resp, err := broker.FetchOffset(req)
	if err == nil && !errors.Is(resp.Err, sarama.ErrNoError) {
		err = resp.Err
	}
	marks := make(map[Partition]stage.Mark)
	for _, p := range of {
		if err != nil {
			break
		}
		switch b := resp.GetBlock(p.Topic, p.ID); {
		case b == nil:
			err = sarama.ErrIncompleteResponse
		case !errors.Is(b.Err, sarama.ErrNoError):
			err = b.Err
		default:
			done, note, _ := strings.Cut(b.Metadata, " ")
			marks[p] = stage.Mark{Offset: b.Offset, Done: done, Note: note}
		}
	}
	if err != nil {
		_ = client.RefreshCoordinator(group) // it may have moved; the next try says
		return nil, fmt.Errorf("committed offsets of group %q: %w", group, err)
	}
	return marks, nil
}

// Metadata is what is committed beside a mark's offset; Committed reads it.
func Metadata(m stage.Mark) string {
	if m.Note == "" {
		return m.Done
	}
	return m.Done + " " + m.Note
}

// Commit sends a commit to the group's coordinator and says how it went.
func Commit(client sarama.Client, req *sarama.OffsetCommitRequest) error {
	broker, err := client.Coordinator(req.ConsumerGroup)
	if err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	resp, err := broker.CommitOffset(req)
	if err == nil {
		var errs []error
		for topic, partitions := range resp.Errors {
			for id, kerr := range partitions {
				if !errors.Is(kerr, sarama.ErrNoError) {
					errs = append(errs, fmt.Errorf("%s/%d: %w", topic, id, kerr))
				}
			}
		}
		err = errors.Join(errs...)
	} else {
		_ = broker.Close() // the connection is of no use any more; the next call opens another
	}
	if err != nil {
		_ = client.RefreshCoordinator(req.ConsumerGroup)
	}
	return err
}
