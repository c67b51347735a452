package witness

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-go/millrace/stage"
)

// Write appends records to their topics and partitions, in order, and returns
// when they are acknowledged.
func Write(ctx context.Context, brokers []string, recs []stage.Raw) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	defer client.Close()
	out := make([]*kgo.Record, len(recs))
	for i, r := range recs {
		out[i] = &kgo.Record{Key: r.Key, Value: r.Value, Timestamp: r.Time, Topic: r.Topic, Partition: r.Partition}
		for _, h := range r.Headers {
			out[i].Headers = append(out[i].Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	if err := client.ProduceSync(ctx, out...).FirstErr(); err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	return nil
}
