package source

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/IBM/sarama"
)

// probe asks a partition's leader for the first offset from next on at which
// a reader of committed records may see something, now or later. left says
// that a record is there already. Without it, nothing is left below the
// offset; there may be more than one fetch brings, or an open transaction.
func (r *groupReader) probe(topic string, partition int32, next int64) (at int64, left bool, err error) {
	if next < 0 { // no offset yet, but the beginning or the end
		next, err = r.client.GetOffset(topic, partition, next)
	}
	var b *sarama.FetchResponseBlock
	if err == nil {
		b, err = r.peek(topic, partition, next)
	}
	if err != nil {
		_ = r.client.RefreshMetadata(topic) // the leader may have moved; the next try says
		return 0, false, fmt.Errorf("source: look ahead in %s/%d: %w", topic, partition, err)
	}
	at, left = visible(b, next)
	return at, left, nil
}

// peek fetches once, beside sarama's own consumer.
func (r *groupReader) peek(topic string, partition int32, next int64) (*sarama.FetchResponseBlock, error) {
	leader, err := r.client.Leader(topic, partition)
	if err != nil {
		return nil, err
	}
	size := r.client.Config().Consumer.Fetch.Default
	req := &sarama.FetchRequest{
		Version:      11, // which every broker from 2.5 on knows
		MaxWaitTime:  100,
		MinBytes:     1,
		MaxBytes:     size,
		Isolation:    sarama.ReadCommitted,
		SessionEpoch: -1, // no fetch session
	}
	req.AddBlock(topic, partition, next, size, -1)
	resp, err := leader.Fetch(req)
	if err != nil {
		return nil, err
	}
	b := resp.GetBlock(topic, partition)
	switch {
	case b == nil:
		return nil, sarama.ErrIncompleteResponse
	case !errors.Is(b.Err, sarama.ErrNoError):
		return nil, b.Err
	}
	return b, nil
}

// visible walks what was fetched at next to the first record that a reader of
// committed records sees, or else to the end.
func visible(b *sarama.FetchResponseBlock, next int64) (int64, bool) {
	aborted := slices.SortedFunc(slices.Values(b.AbortedTransactions), func(x, y *sarama.AbortedTransaction) int {
		return cmp.Compare(x.FirstOffset, y.FirstOffset)
	})
	undone := make(map[int64]bool) // the producers whose transaction here is aborted
	for _, set := range b.RecordsSet {
		if set.MsgSet != nil { // older than transactions
			for _, m := range set.MsgSet.Messages {
				if m.Offset >= next {
					return m.Offset, true
				}
			}
			continue
		}
		batch := set.RecordBatch
		if batch.PartialTrailingRecord {
			break
		}
		for len(aborted) > 0 && aborted[0].FirstOffset <= batch.LastOffset() {
			undone[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		switch {
		case batch.Control:
			if abortMarker(batch) {
				delete(undone, batch.ProducerID)
			}
		case batch.IsTransactional && undone[batch.ProducerID]:
		default:
			for _, rec := range batch.Records {
				if at := batch.FirstOffset + rec.OffsetDelta; at >= next {
					return at, true
				}
			}
		}
		next = max(next, batch.LastOffset()+1)
	}
	return next, false
}

// abortMarker reads a control record's key: a version and a type, 0 to abort.
func abortMarker(b *sarama.RecordBatch) bool {
	key := b.Records[0].Key
	return len(key) >= 4 && binary.BigEndian.Uint16(key[2:]) == 0
}
