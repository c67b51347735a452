package sink

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// DeadLetters writes dead letters to a Kafka topic: key, value and time of the
// input record byte for byte, its headers, and after them what happened, under
// the names that Kafka Connect uses, so that tools for its dead letter queues
// read them:
//
//	__connect.errors.topic, .partition, .offset   where the record was read
//	__connect.errors.connector.name               the stage
//	__connect.errors.stage                        decode, transform, encode or write
//	__connect.errors.exception.class.name         the error's Go type
//	__connect.errors.exception.message            the error, cut at 1 KiB
//	millrace.errors.attempts                      how often it was tried
func DeadLetters(c *kafka.Cluster, topic string) stage.Sink[stage.DeadLetter] {
	return stage.Sink[stage.DeadLetter]{
		Targets: []stage.Target{kafkaTarget(c, topic)},
		Encode: func(d stage.DeadLetter, _ *stage.Raw, emit func(int, stage.Raw)) error {
			out := d.Record
			out.Topic = topic
			out.Headers = append(slices.Clip(d.Record.Headers), errorHeaders(d)...)
			emit(0, out)
			return nil
		},
	}
}

func errorHeaders(d stage.DeadLetter) []stage.Header {
	const connect = "__connect.errors."
	text := func(key, value string) stage.Header { return stage.Header{Key: key, Value: []byte(value)} }
	return []stage.Header{
		text(connect+"topic", d.Record.Topic),
		text(connect+"partition", strconv.Itoa(int(d.Record.Partition))),
		text(connect+"offset", strconv.FormatInt(d.Record.Offset, 10)),
		text(connect+"connector.name", d.Stage),
		text(connect+"stage", string(d.Step)),
		text(connect+"exception.class.name", fmt.Sprintf("%T", innermost(d.Err))),
		text(connect+"exception.message", cut(d.Err.Error(), 1024)),
		text("millrace.errors.attempts", strconv.Itoa(d.Attempts)),
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
