package sink_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// TestTopicsTakeDifferentSizes: one topic takes less than the producer would
// put into a batch, and less than the dead letters' topic. What is too large
// for the one, and only that, is a dead letter in the other, with both
// deliveries, and whether or not the records' bytes compress.
func TestTopicsTakeDifferentSizes(t *testing.T) {
	for _, d := range []stage.Delivery{stage.AtLeastOnce, stage.ExactlyOnce} {
		for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionSnappy} {
			t.Run(fmt.Sprintf("%v/%v", d, codec), func(t *testing.T) { testSizes(t, d, codec) })
		}
	}
}

func testSizes(t *testing.T, d stage.Delivery, codec sarama.CompressionCodec) {
	const small, large = 1_000_000, 3_000_000
	b, err := kafkatest.New(kafkatest.Options{Config: func(cfg *sarama.Config) {
		cfg.Producer.MaxMessageBytes = large - 1000
		cfg.Producer.Compression = codec
		cfg.Producer.Flush.Frequency = 20 * time.Millisecond // so that batches grow
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	for name, limit := range map[string]int{"in": large, "out": small, "dead": large} {
		if err := b.Fake().CreateTopic(name, 1, map[string]string{"max.message.bytes": fmt.Sprint(limit)}); err != nil {
			t.Fatal(err)
		}
	}
	noise := rand.NewChaCha8([32]byte{})
	var recs []stage.Raw
	wantOut, wantDead := 0, 0
	for i := range 40 {
		n := 249_900 + i%10 // four of them fill a batch to the brim
		if wantOut++; i%10 == 9 {
			n = []int{small, 1_500_000, 2_900_000, 2_000_000}[i/10]
			wantOut--
			wantDead++
		}
		v := make([]byte, n)
		if _, err := noise.Read(v); err != nil {
			t.Fatal(err)
		}
		recs = append(recs, stage.Raw{Key: fmt.Append(nil, i), Value: v})
	}
	b.Produce(t, "in", recs...)
	c := b.Cluster()
	bytesOf := func(name string) stage.Topic[[]byte] { return stage.Topic[[]byte]{Name: name, Codec: stage.Bytes()} }
	s := &stage.Stage[[]byte, []byte]{
		Source:      source.Kafka(c, bytesOf("in"), "group", source.UntilEnd()),
		Transform:   stage.Map(same[[]byte]),
		Sink:        sink.Kafka(c, bytesOf("out")),
		DeadLetters: sink.DeadLetters(c, "dead"),
		Delivery:    d,
		BatchSize:   50,
		Logger:      quiet,
	}
	if d == stage.ExactlyOnce {
		s.TransactionalID = "sizes"
	}
	var largest atomic.Int64 // of the batches to out
	watch := b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "out", Observe: true, Count: -1, When: func(r kmsg.Request) bool {
		for _, to := range r.(*kmsg.ProduceRequest).Topics {
			if to.Topic == "out" {
				largest.Store(max(largest.Load(), int64(len(to.Partitions[0].Records))))
			}
		}
		return true
	}})
	defer watch.Remove()
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if n := largest.Load(); n < small*7/10 || n > small {
		t.Errorf("the largest batch has %d bytes; want it to be nearly full, and no more than %d", n, small)
	}
	want := make(map[string][]byte)
	for _, r := range recs {
		want[string(r.Key)] = r.Value
	}
	out, dead := b.Consume(t, "out", 0), b.Consume(t, "dead", 0)
	for _, r := range append(out, dead...) {
		if !bytes.Equal(r.Value, want[string(r.Key)]) {
			t.Errorf("record %s is not what it was, or is there twice", r.Key)
		}
		delete(want, string(r.Key))
	}
	if len(out) != wantOut || len(dead) != wantDead {
		t.Errorf("%d written, %d dead letters; want %d and %d", len(out), len(dead), wantOut, wantDead)
	}
}
