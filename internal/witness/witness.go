// Package witness reads what topics hold, for tests: by another client than
// the library's own, so that one's mistakes are not the other's.
package witness

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/stage"
)

// Read returns the committed records of a topic, partition by partition, up to
// the end as it is now (the last stable offset). It waits until something at
// that end was seen, be it a transaction's marker.
func Read(ctx context.Context, brokers []string, topic string) ([]stage.Raw, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
	)
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	defer client.Close()
	begin, end, err := bounds(ctx, client, topic)
	if err != nil {
		return nil, fmt.Errorf("witness: %s: %w", topic, err)
	}
	from := make(map[int32]kgo.Offset)
	left := 0
	for p := range end {
		if begin[p] < end[p] {
			from[int32(p)] = kgo.NewOffset().At(begin[p])
			left++
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	parts := make([][]stage.Raw, len(end))
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("witness: %s: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= end[r.Partition] {
				return
			}
			if r.Offset == end[r.Partition]-1 {
				left--
			}
			if !r.Attrs.IsControl() {
				parts[r.Partition] = append(parts[r.Partition], raw(r))
			}
		})
	}
	var all []stage.Raw
	for _, recs := range parts {
		all = append(all, recs...)
	}
	return all, nil
}

func raw(r *kgo.Record) stage.Raw {
	out := stage.Raw{Key: r.Key, Value: r.Value, Time: r.Timestamp, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, stage.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

// bounds returns the first offset and the last stable one of each partition.
func bounds(ctx context.Context, client *kgo.Client, topic string) (begin, end []int64, err error) {
	meta := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	meta.Topics = append(meta.Topics, t)
	resp, err := meta.RequestWith(ctx, client)
	if err != nil {
		return nil, nil, err
	}
	n := len(resp.Topics[0].Partitions)
	if begin, err = list(ctx, client, topic, n, -2); err != nil {
		return nil, nil, err
	}
	end, err = list(ctx, client, topic, n, -1)
	return begin, end, err
}

func list(ctx context.Context, client *kgo.Client, topic string, partitions int, at int64) ([]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.IsolationLevel = 1 // read_committed: the end is the last stable offset
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range partitions {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp = int32(p), at
		t.Partitions = append(t.Partitions, part)
	}
	req.Topics = append(req.Topics, t)
	offsets := make([]int64, partitions)
	for _, shard := range client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return nil, shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return nil, fmt.Errorf("offsets of partition %d: error code %d", p.Partition, p.ErrorCode)
				}
				offsets[p.Partition] = p.Offset
			}
		}
	}
	return offsets, nil
}
