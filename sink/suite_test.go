package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/internal/witness"
	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
	"github.com/millrace-go/millrace/stage/stagetest"
)

func kafkaValue(i int) []byte {
	switch i % 7 {
	case 3:
		return nil // a tombstone
	case 4:
		return []byte{}
	}
	return fmt.Appendf(nil, "value %d \x00\xff", i)
}

// start starts a broker with topics of two partitions, "in" with records.
func start(tb testing.TB, topics ...string) *kafkatest.Broker {
	b := kafkatest.Start(tb, "in")
	for _, name := range topics {
		if err := b.CreateTopic(name, 2); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

func bytesTopic(name string) stage.Topic[[]byte] {
	return stage.Topic[[]byte]{Name: name, Codec: stage.Bytes()}
}

// written reads a topic back by another client.
func written(tb testing.TB, b *kafkatest.Broker, topic string) []stage.Record[[]byte] {
	raws, err := witness.Read(tb.Context(), b.Addrs(), topic)
	if err != nil {
		tb.Fatal(err)
	}
	recs := make([]stage.Record[[]byte], len(raws))
	for i, r := range raws {
		recs[i] = stage.Record[[]byte]{Value: r.Value, Raw: r}
	}
	return recs
}

func kafkaSink(tb testing.TB) (*kafkatest.Broker, stagetest.SinkFixture[[]byte]) {
	b := start(tb, "out")
	return b, stagetest.SinkFixture[[]byte]{
		Sink:     sink.Kafka(b.Cluster(), bytesTopic("out")),
		Value:    kafkaValue,
		Written:  func() []stage.Record[[]byte] { return written(tb, b, "out") },
		TooLarge: func() []byte { return bytes.Repeat([]byte("x"), 2<<20) },
	}
}

// transaction is for a run of "in" that is open beside.
func transaction(tb testing.TB, b *kafkatest.Broker) *stagetest.Transaction {
	b.Produce(tb, "in", stage.Raw{Value: []byte("x")})
	env := stage.Env{Stage: "beside", Logger: quiet}
	r, err := source.Kafka(b.Cluster(), topic("in"), "group").Open(tb.Context(), env)
	if err != nil {
		tb.Fatal(err)
	}
	batch, err := r.Read(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		batch.Lane.Release()
		if err := r.Close(context.WithoutCancel(tb.Context())); err != nil {
			tb.Error(err)
		}
	})
	return &stagetest.Transaction{
		ID:   "suite-0",
		Lane: batch.Lane,
		Mark: func() (int64, bool) { return b.Committed(tb, "group", "in", 0) },
	}
}

func TestKafkaPassesTheSuite(t *testing.T) {
	stagetest.TestSink(t, func(tb testing.TB) stagetest.SinkFixture[[]byte] {
		_, f := kafkaSink(tb)
		return f
	})
}

// TestTeePassesTheSuite writes to two topics by one producer; what is in one
// of them must be in the other.
func TestTeePassesTheSuite(t *testing.T) { teeSuite(t, false) }

func teeSuite(t *testing.T, transactional bool) {
	stagetest.TestSink(t, func(tb testing.TB) stagetest.SinkFixture[[]byte] {
		b := start(tb, "out", "copy")
		c := b.Cluster()
		f := stagetest.SinkFixture[[]byte]{
			Sink:  sink.Tee(sink.Kafka(c, bytesTopic("out")), sink.Kafka(c, bytesTopic("copy"))),
			Value: kafkaValue,
			Written: func() []stage.Record[[]byte] {
				out, other := written(tb, b, "out"), written(tb, b, "copy")
				if len(out) != len(other) {
					tb.Errorf("%d records in one topic, %d in the other", len(out), len(other))
				}
				return out
			},
			TooLarge: func() []byte { return bytes.Repeat([]byte("x"), 2<<20) },
		}
		if transactional {
			f.Transaction = transaction(tb, b)
		}
		return f
	})
}

// lines are lines of JSON that a test reads while they are written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) written(tb testing.TB) (recs []stage.Record[string]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		var r stage.Record[string]
		if err := json.Unmarshal([]byte(line), &r.Value); err != nil {
			tb.Fatalf("%q: %v", line, err)
		}
		recs = append(recs, r)
	}
	return recs
}

func TestJSONLinesPassTheSuite(t *testing.T) {
	stagetest.TestSink(t, func(tb testing.TB) stagetest.SinkFixture[string] {
		var l lines
		return stagetest.SinkFixture[string]{
			Sink:    sink.JSONLines[string](&l),
			Value:   func(i int) string { return fmt.Sprintf("value %d <&>\n", i) },
			Written: func() []stage.Record[string] { return l.written(tb) },
			Without: stagetest.Keys | stagetest.Headers | stagetest.Times,
		}
	})
}
