package sink

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// DeadLetters writes dead letters to a Kafka topic: key, value and time of the
// input record byte for byte, its headers, and after them what happened, as
// [ConnectHeaders]. source.DeadLetters reads them back.
func DeadLetters(c *kafka.Cluster, topic string) stage.Sink[stage.DeadLetter] {
	return DeadLettersAs(c, topic, ConnectHeaders)
}

// DeadLettersAs is [DeadLetters] with other headers, such as [SpringHeaders].
func DeadLettersAs(c *kafka.Cluster, topic string, headers Headers) stage.Sink[stage.DeadLetter] {
	return stage.Sink[stage.DeadLetter]{
		Targets: []stage.Target{kafkaTarget(c, topic)},
		Encode: func(d stage.DeadLetter, _ *stage.Raw, emit func(int, stage.Raw)) error {
			out := d.Record
			out.Topic = topic
			out.Headers = append(slices.Clip(d.Record.Headers), headers(d)...)
			emit(0, out)
			return nil
		},
	}
}

// Headers tell by headers what happened to a dead letter.
type Headers func(stage.DeadLetter) []stage.Header

// maxText is where the text of an error is cut.
const maxText = 1024

// ConnectHeaders are those of Kafka Connect, as text:
//
//	__connect.errors.topic, .partition, .offset   where the record was read
//	__connect.errors.connector.name               the stage
//	__connect.errors.stage                        decode, transform, encode or write
//	__connect.errors.exception.class.name         the error's Go type
//	__connect.errors.exception.message            the error, cut at 1 KiB
//	millrace.errors.attempts                      how often it was tried
func ConnectHeaders(d stage.DeadLetter) []stage.Header {
	const connect = "__connect.errors."
	return []stage.Header{
		text(connect+"topic", d.Record.Topic),
		text(connect+"partition", strconv.Itoa(int(d.Record.Partition))),
		text(connect+"offset", strconv.FormatInt(d.Record.Offset, 10)),
		text(connect+"connector.name", d.Stage),
		text(connect+"stage", string(d.Step)),
		text(connect+"exception.class.name", fmt.Sprintf("%T", innermost(d.Err))),
		text(connect+"exception.message", cut(d.Err.Error(), maxText)),
		text("millrace.errors.attempts", strconv.Itoa(d.Attempts)),
	}
}

// SpringHeaders are those of Spring for Apache Kafka's dead letter topics, with
// numbers big-endian as it writes them:
//
//	kafka_dlt-original-topic                where the record was read
//	kafka_dlt-original-partition            4 bytes
//	kafka_dlt-original-offset               8 bytes
//	kafka_dlt-original-timestamp            8 bytes, milliseconds since 1970
//	kafka_dlt-original-timestamp-type       CreateTime
//	kafka_dlt-exception-fqcn                the error's Go type
//	kafka_dlt-exception-cause-fqcn          that of the innermost error
//	kafka_dlt-exception-message             the error, cut at 1 KiB
//	kafka_deliveryAttempt                   4 bytes, how often it was tried
func SpringHeaders(d stage.DeadLetter) []stage.Header {
	const spring = "kafka_dlt-"
	int32Header := func(key string, n int32) stage.Header {
		return stage.Header{Key: key, Value: binary.BigEndian.AppendUint32(nil, uint32(n))}
	}
	int64Header := func(key string, n int64) stage.Header {
		return stage.Header{Key: key, Value: binary.BigEndian.AppendUint64(nil, uint64(n))}
	}
	headers := []stage.Header{
		text(spring+"original-topic", d.Record.Topic),
		int32Header(spring+"original-partition", d.Record.Partition),
		int64Header(spring+"original-offset", d.Record.Offset),
	}
	if !d.Record.Time.IsZero() {
		headers = append(headers,
			int64Header(spring+"original-timestamp", d.Record.Time.UnixMilli()),
			text(spring+"original-timestamp-type", "CreateTime"))
	}
	return append(headers,
		text(spring+"exception-fqcn", fmt.Sprintf("%T", d.Err)),
		text(spring+"exception-cause-fqcn", fmt.Sprintf("%T", innermost(d.Err))),
		text(spring+"exception-message", cut(d.Err.Error(), maxText)),
		int32Header("kafka_deliveryAttempt", int32(d.Attempts)),
	)
}

func text(key, value string) stage.Header { return stage.Header{Key: key, Value: []byte(value)} }

// Replay writes dead letters back to the topics that their records came from,
// as they were. It is the sink of a stage whose source is source.DeadLetters;
// the transform says which, by [stage.ErrSkip] for the others.
func Replay(c *kafka.Cluster) stage.Sink[stage.DeadLetter] {
	return stage.Sink[stage.DeadLetter]{
		Targets: []stage.Target{kafkaTarget(c, "")},
		Encode: func(d stage.DeadLetter, _ *stage.Raw, emit func(int, stage.Raw)) error {
			emit(0, stage.Raw{
				Topic: d.Record.Topic, Key: d.Record.Key, Value: d.Record.Value,
				Headers: d.Record.Headers, Time: d.Record.Time,
			})
			return nil
		},
	}
}

// innermost finds the error that the others only wrap.
func innermost(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err
		}
		err = u.Unwrap()
	}
}

// cut shortens a text to at most n bytes, not inside a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
