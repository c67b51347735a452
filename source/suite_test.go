package source_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/witness"
	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// kafkaFixture is a topic of three partitions. Where another member joins the
// group, it takes one of them away.
func kafkaFixture(tb testing.TB, opts ...source.Option) stagetest.SourceFixture[[]byte] {
	b := kafkatest.Start(tb)
	const partitions = 3
	if err := b.CreateTopic("in", partitions); err != nil {
		tb.Fatal(err)
	}
	values := stage.Topic[[]byte]{Name: "in", Codec: stage.Bytes()}
	member := func() stage.Source[[]byte] { return source.Kafka(soon(b), values, "group", opts...) }
	return stagetest.SourceFixture[[]byte]{
		Source: member(),
		Value: func(i int) []byte {
			switch i % 5 {
			case 3:
				return nil // a tombstone
			case 4:
				return []byte{}
			}
			return fmt.Appendf(nil, "value %d \x00\xff", i)
		},
		Bytes: func(v []byte) []byte { return v },
		Put: func(recs ...stage.Record[[]byte]) {
			put(tb, b, "in", recs)
		},
		Partitions: partitions,
		Revoke: func() func() {
			other, err := member().Open(tb.Context(), stage.Env{Stage: "other", Logger: quiet, DrainTimeout: time.Second})
			if err != nil {
				tb.Error(err)
				return func() {}
			}
			return func() {
				if err := other.Close(context.WithoutCancel(tb.Context())); err != nil {
					tb.Error(err)
				}
			}
		},
	}
}

// soon is a cluster whose members hear of a rebalance soon.
func soon(b *kafkatest.Broker) *kafka.Cluster {
	c := b.Cluster()
	c.Config = func(c *sarama.Config) { c.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond }
	return c
}

// put writes records to their partitions, by another client than the
// library's own.
func put(tb testing.TB, b *kafkatest.Broker, topic string, recs []stage.Record[[]byte]) {
	raws := make([]stage.Raw, len(recs))
	for i, r := range recs {
		raws[i] = r.Raw
		raws[i].Value, raws[i].Topic = r.Value, topic
	}
	if err := witness.Write(tb.Context(), b.Addrs(), raws); err != nil {
		tb.Fatal(err)
	}
}

func TestKafkaPassesTheSuite(t *testing.T) {
	stagetest.TestSource(t, func(tb testing.TB) stagetest.SourceFixture[[]byte] { return kafkaFixture(tb) })
}

func TestKafkaUntilEndPassesTheSuite(t *testing.T) {
	stagetest.TestSource(t, func(tb testing.TB) stagetest.SourceFixture[[]byte] {
		f := kafkaFixture(tb, source.UntilEnd())
		f.Finite = true
		return f
	})
}

// TestDeadLettersPassTheSuite reads records that were given up: as they were,
// and where they were read.
func TestDeadLettersPassTheSuite(t *testing.T) {
	stagetest.TestSource(t, func(tb testing.TB) stagetest.SourceFixture[[]byte] {
		b := kafkatest.Start(tb, "dead")
		dead := source.DeadLetters(soon(b), "dead", "group")
		return stagetest.SourceFixture[[]byte]{
			Source: stage.Source[[]byte]{
				Check:   dead.Check,
				Cluster: dead.Cluster,
				Open: func(ctx context.Context, env stage.Env) (stage.Reader, error) {
					r, err := dead.Open(ctx, env)
					return originals{r}, err
				},
				Decode: func(r *stage.Raw) ([]byte, error) {
					whole := *r
					whole.Headers = append(whole.Headers[:len(whole.Headers):len(whole.Headers)], failure...)
					d, err := dead.Decode(&whole)
					return d.Record.Value, err
				},
			},
			Value: func(i int) []byte { return []byte(strconv.Itoa(i)) },
			Bytes: func(v []byte) []byte { return v },
			Put: func(recs ...stage.Record[[]byte]) {
				for i := range recs {
					recs[i].Headers = append(recs[i].Headers[:len(recs[i].Headers):len(recs[i].Headers)], failure...)
				}
				put(tb, b, "dead", recs)
			},
		}
	})
}

// failure is what the headers of a dead letter tell.
var failure = sink.ConnectHeaders(stage.DeadLetter{Record: stage.Raw{Topic: "in", Partition: 4, Offset: 5}, Stage: "s", Step: stage.StepTransform, Err: context.Canceled, Attempts: 1})

// originals takes what tells of the failure off the records.
type originals struct{ stage.Reader }

func (o originals) Read(ctx context.Context) (stage.Batch, error) {
	b, err := o.Reader.Read(ctx)
	for i := range b.Records {
		n := len(b.Records[i].Headers) - len(failure)
		b.Records[i].Headers = b.Records[i].Headers[:n:n]
	}
	return b, err
}

func TestSlicesAndIteratorsPassTheSuite(t *testing.T) {
	fixture := func() (f stagetest.SourceFixture[string], values *[]string) {
		values = new([]string)
		return stagetest.SourceFixture[string]{
			Value: func(i int) string { return fmt.Sprint("value ", i) },
			Put: func(recs ...stage.Record[string]) {
				for _, r := range recs {
					*values = append(*values, r.Value)
				}
			},
			Without: stagetest.Keys | stagetest.Headers | stagetest.Times,
			Finite:  true,
			Forgets: true,
		}, values
	}
	t.Run("Seq", func(t *testing.T) {
		stagetest.TestSource(t, func(testing.TB) stagetest.SourceFixture[string] {
			f, values := fixture()
			f.Source = source.Seq(func(yield func(string) bool) {
				for _, v := range *values {
					if !yield(v) {
						return
					}
				}
			})
			return f
		})
	})
	t.Run("Slice", func(t *testing.T) {
		stagetest.TestSource(t, func(testing.TB) stagetest.SourceFixture[string] {
			f, values := fixture()
			var src stage.Source[string] // of the values as they are when it is opened
			f.Source.Open = func(ctx context.Context, env stage.Env) (stage.Reader, error) {
				src = source.Slice(*values)
				return src.Open(ctx, env)
			}
			f.Source.Decode = func(r *stage.Raw) (string, error) { return src.Decode(r) }
			return f
		})
	})
	t.Run("JSONLines", func(t *testing.T) {
		stagetest.TestSource(t, func(tb testing.TB) stagetest.SourceFixture[string] {
			f, _ := fixture()
			var lines bytes.Buffer
			bytesOf := func(v string) []byte {
				line, err := json.Marshal(v)
				if err != nil {
					tb.Error(err)
				}
				return line
			}
			f.Source = source.JSONLines[string](&lines, "lines")
			f.Source.Open = func(ctx context.Context, env stage.Env) (stage.Reader, error) {
				// A reader that is closed may read on for a moment: each has lines of its own.
				now := bytes.NewReader(bytes.Clone(lines.Bytes()))
				lines.Reset()
				return source.JSONLines[string](now, "lines").Open(ctx, env)
			}
			f.Bytes = bytesOf
			f.Put = func(recs ...stage.Record[string]) {
				for _, r := range recs {
					fmt.Fprintf(&lines, "%s\n\n", bytesOf(r.Value))
				}
			}
			return f
		})
	})
}
