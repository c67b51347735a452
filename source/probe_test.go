package source

import (
	"testing"

	"github.com/IBM/sarama"
)

func batch(producer, first int64, last int32, deltas ...int64) *sarama.Records {
	b := &sarama.RecordBatch{ProducerID: producer, FirstOffset: first, LastOffsetDelta: last}
	for _, d := range deltas {
		b.Records = append(b.Records, &sarama.Record{OffsetDelta: d})
	}
	return &sarama.Records{RecordBatch: b}
}

func inTxn(r *sarama.Records) *sarama.Records {
	r.RecordBatch.IsTransactional = true
	return r
}

func marker(producer, at int64, kind byte) *sarama.Records {
	r := inTxn(batch(producer, at, 0, 0))
	r.RecordBatch.Control = true
	r.RecordBatch.Records[0].Key = []byte{0, 0, 0, kind}
	return r
}

// TestVisible: what brokers of other ages and a compacted topic may answer.
func TestVisible(t *testing.T) {
	const abort, commit = 0, 1
	partial := batch(0, 7, 2)
	partial.RecordBatch.PartialTrailingRecord = true
	legacy := &sarama.Records{MsgSet: &sarama.MessageSet{Messages: []*sarama.MessageBlock{{Offset: 3}, {Offset: 9}}}}
	for name, c := range map[string]struct {
		sets    []*sarama.Records
		aborted []*sarama.AbortedTransaction
		next    int64
		at      int64
		left    bool
	}{
		"nothing":                    {nil, nil, 5, 5, false},
		"a record":                   {[]*sarama.Records{batch(0, 5, 0, 0)}, nil, 5, 5, true},
		"a record after a gap":       {[]*sarama.Records{batch(0, 9, 0, 0)}, nil, 5, 9, true},
		"in the middle of a batch":   {[]*sarama.Records{batch(0, 3, 4, 0, 1, 2, 4)}, nil, 5, 5, true},
		"a batch without its last":   {[]*sarama.Records{batch(0, 3, 4, 0, 1)}, nil, 5, 8, false},
		"a batch that is cut off":    {[]*sarama.Records{batch(0, 5, 1), partial}, nil, 5, 7, false},
		"old messages":               {[]*sarama.Records{legacy}, nil, 5, 9, true},
		"old messages, read already": {[]*sarama.Records{legacy}, nil, 10, 10, false},
		"a marker":                   {[]*sarama.Records{marker(1, 5, commit)}, nil, 5, 6, false},
		"committed":                  {[]*sarama.Records{inTxn(batch(1, 5, 0, 0)), marker(1, 6, commit)}, nil, 5, 5, true},
		"aborted, begun before": {
			[]*sarama.Records{inTxn(batch(1, 5, 1, 0, 1)), marker(1, 7, abort)},
			[]*sarama.AbortedTransaction{{ProducerID: 1, FirstOffset: 2}}, 5, 8, false,
		},
		"aborted, then committed": {
			[]*sarama.Records{inTxn(batch(1, 5, 0, 0)), marker(1, 6, abort), inTxn(batch(1, 7, 0, 0))},
			[]*sarama.AbortedTransaction{{ProducerID: 1, FirstOffset: 5}}, 5, 7, true,
		},
		"aborted between another's": {
			[]*sarama.Records{inTxn(batch(1, 5, 0, 0)), batch(2, 6, 0, 0)},
			[]*sarama.AbortedTransaction{{ProducerID: 1, FirstOffset: 5}}, 5, 6, true,
		},
		"aborted twice, told in no order": {
			[]*sarama.Records{inTxn(batch(1, 5, 0, 0)), marker(1, 6, abort), inTxn(batch(1, 7, 0, 0)), marker(1, 8, abort)},
			[]*sarama.AbortedTransaction{{ProducerID: 1, FirstOffset: 7}, {ProducerID: 1, FirstOffset: 5}}, 5, 9, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			at, left := visible(&sarama.FetchResponseBlock{RecordsSet: c.sets, AbortedTransactions: c.aborted}, c.next)
			if at != c.at || left != c.left {
				t.Errorf("got %d, %v; want %d, %v", at, left, c.at, c.left)
			}
		})
	}
}
