package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/IBM/sarama"
)

// lookUp asks the cluster, before the group is joined, what the options need
// to know: the ends of a bounded run, the offsets of a starting time.
func (r *groupReader) lookUp(ctx context.Context) error {
	if !r.opts.bounded && r.opts.since.IsZero() {
		return nil
	}
	client, err := r.opts.cluster.Dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing is lost with it
	if r.opts.bounded {
		if r.ends, err = offsets(client, r.opts.topics, sarama.OffsetNewest); err != nil {
			return err
		}
	}
	if !r.opts.since.IsZero() {
		return r.startAt(client)
	}
	return nil
}

// offsets asks for one offset of each partition.
func offsets(client sarama.Client, topics []string, at int64) (map[string]map[int32]int64, error) {
	all := make(map[string]map[int32]int64)
	for _, topic := range topics {
		partitions, err := client.Partitions(topic)
		if err != nil {
			return nil, fmt.Errorf("source: partitions of %q: %w", topic, err)
		}
		all[topic] = make(map[int32]int64)
		for _, p := range partitions {
			o, err := client.GetOffset(topic, p, at)
			if err != nil {
				return nil, fmt.Errorf("source: offset of %s/%d: %w", topic, p, err)
			}
			all[topic][p] = o
		}
	}
	return all, nil
}

// startAt commits the offsets of the starting time for the partitions that
// the group has none for. sarama starts a claim at a committed offset, the
// beginning or the end, and at nothing else.
func (r *groupReader) startAt(client sarama.Client) error {
	want, err := offsets(client, r.opts.topics, r.opts.since.UnixMilli())
	if err != nil {
		return err
	}
	ends, err := offsets(client, r.opts.topics, sarama.OffsetNewest)
	if err != nil {
		return err
	}
	missing, err := r.uncommitted(client, want)
	if err != nil || len(missing) == 0 {
		return err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	begin := make(map[string]map[int32]sarama.OffsetAndMetadata)
	for topic, partitions := range missing {
		begin[topic] = make(map[int32]sarama.OffsetAndMetadata)
		for _, p := range partitions {
			at := want[topic][p]
			if at < 0 { // nothing is that new yet
				at = ends[topic][p]
			}
			begin[topic][p] = sarama.OffsetAndMetadata{Offset: at, LeaderEpoch: -1}
		}
	}
	if _, err := admin.AlterConsumerGroupOffsets(r.opts.group, begin, nil); err != nil {
		return fmt.Errorf("source: group %q: commit the starting offsets: %w", r.opts.group, err)
	}
	// A group with members takes no commit from outside; its members have
	// started at their own time. What counts is that there is an offset now.
	missing, err = r.uncommitted(client, want)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("source: group %q: the starting offsets of %v could not be committed; is the group in use by consumers that were started otherwise?", r.opts.group, slices.Sorted(maps.Keys(missing)))
	}
	return nil
}

// uncommitted returns the partitions of want that the group has no offset for.
func (r *groupReader) uncommitted(client sarama.Client, want map[string]map[int32]int64) (map[string][]int32, error) {
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	ask := make(map[string][]int32)
	for topic, partitions := range want {
		ask[topic] = slices.Sorted(maps.Keys(partitions))
	}
	resp, err := admin.ListConsumerGroupOffsets(r.opts.group, ask)
	if err == nil && !errors.Is(resp.Err, sarama.ErrNoError) {
		err = resp.Err
	}
	if errors.Is(err, sarama.ErrGroupIDNotFound) { // no member was ever there
		return ask, nil
	}
	if err != nil {
		return nil, fmt.Errorf("source: offsets of group %q: %w", r.opts.group, err)
	}
	missing := make(map[string][]int32)
	for topic, partitions := range ask {
		for _, p := range partitions {
			if b := resp.GetBlock(topic, p); b == nil || b.Offset < 0 {
				missing[topic] = append(missing[topic], p)
			}
		}
	}
	return missing, nil
}
