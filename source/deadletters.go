package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// DeadLetters reads what sink.DeadLetters has written, with the headers of
// Kafka Connect or of Spring: the record as it was, without the headers that
// tell of the failure, and what they tell. With sink.Replay, records go back
// to where they came from:
//
//	stage.Run(ctx, &stage.Stage[stage.DeadLetter, stage.DeadLetter]{
//		Source: source.DeadLetters(cluster, "posts.dead", "replay", source.UntilEnd()),
//		Transform: stage.Map(func(_ context.Context, d stage.DeadLetter) (stage.DeadLetter, error) {
//			if d.Step != stage.StepTransform {
//				return d, stage.ErrSkip
//			}
//			return d, nil
//		}),
//		Sink: sink.Replay(cluster),
//	})
//
// A record without such headers is an error, and so a dead letter itself. The
// group remembers what was replayed: a later run goes on behind it.
func DeadLetters(c *kafka.Cluster, topic, group string, opts ...Option) stage.Source[stage.DeadLetter] {
	raw := WithRecord(Kafka(c, stage.Topic[[]byte]{Name: topic, Codec: stage.Bytes()}, group, opts...))
	return stage.Source[stage.DeadLetter]{
		Cluster: raw.Cluster,
		Check:   raw.Check,
		Open:    raw.Open,
		Decode:  func(r *stage.Raw) (stage.DeadLetter, error) { return parseDeadLetter(r) },
	}
}

// Again reads the records of dead letters as values, for the stage that gave
// them up: it is that stage's source for a run that tries them once more.
// which, if not nil, says which ones; the others are passed over.
func Again[T any](dead stage.Source[stage.DeadLetter], codec stage.Codec[T], which func(stage.DeadLetter) bool) stage.Source[T] {
	return stage.Source[T]{
		Cluster: dead.Cluster,
		Check:   dead.Check,
		Open:    dead.Open,
		Decode: func(r *stage.Raw) (v T, err error) {
			d, err := dead.Decode(r)
			if err != nil {
				return v, err
			}
			if which != nil && !which(d) {
				return v, stage.ErrSkip
			}
			return codec.Decode(d.Record.Value)
		},
	}
}

// The first header of each kind.
const (
	connectTopic = "__connect.errors.topic"
	springTopic  = "kafka_dlt-original-topic"
)

// parseDeadLetter takes the headers of the failure off a record. A record may
// have been a dead letter before: only the last such headers count.
func parseDeadLetter(r *stage.Raw) (stage.DeadLetter, error) {
	d := stage.DeadLetter{Record: *r, Time: r.Time}
	from, connect := lastHeader(r, connectTopic), true
	if spring := lastHeader(r, springTopic); spring > from {
		from, connect = spring, false
	}
	if from < 0 {
		return d, errors.New("source: not a dead letter: it has neither the header " + connectTopic + " nor " + springTopic)
	}
	d.Record.Headers = r.Headers[:from:from]
	said := stage.Raw{Headers: r.Headers[from:]}
	if connect {
		return d, fromConnect(&d, &said)
	}
	return d, fromSpring(&d, &said)
}

func lastHeader(r *stage.Raw, key string) int {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == key {
			return i
		}
	}
	return -1
}

func fromConnect(d *stage.DeadLetter, said *stage.Raw) error {
	text := func(key string) string {
		v, _ := said.Header(key)
		return string(v)
	}
	partition, err := strconv.ParseInt(text("__connect.errors.partition"), 10, 32)
	if err != nil {
		return fmt.Errorf("source: dead letter: header __connect.errors.partition: %w", err)
	}
	offset, err := strconv.ParseInt(text("__connect.errors.offset"), 10, 64)
	if err != nil {
		return fmt.Errorf("source: dead letter: header __connect.errors.offset: %w", err)
	}
	d.Record.Topic, d.Record.Partition, d.Record.Offset = text(connectTopic), int32(partition), offset
	d.Stage, d.Step = text("__connect.errors.connector.name"), stage.Step(text("__connect.errors.stage"))
	d.Err = errors.New(text("__connect.errors.exception.message"))
	d.Attempts, _ = strconv.Atoi(text("millrace.errors.attempts")) // not everybody writes it
	return nil
}

func fromSpring(d *stage.DeadLetter, said *stage.Raw) error {
	topic, _ := said.Header(springTopic)
	partition, _ := said.Header("kafka_dlt-original-partition")
	offset, _ := said.Header("kafka_dlt-original-offset")
	if len(partition) != 4 || len(offset) != 8 {
		return fmt.Errorf("source: dead letter: headers kafka_dlt-original-partition and -offset have %d and %d bytes, want 4 and 8", len(partition), len(offset))
	}
	message, _ := said.Header("kafka_dlt-exception-message")
	d.Record.Topic = string(topic)
	d.Record.Partition = int32(binary.BigEndian.Uint32(partition))
	d.Record.Offset = int64(binary.BigEndian.Uint64(offset))
	d.Err = errors.New(string(message))
	if attempts, ok := said.Header("kafka_deliveryAttempt"); ok && len(attempts) == 4 {
		d.Attempts = int(binary.BigEndian.Uint32(attempts))
	}
	return nil
}
