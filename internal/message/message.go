// Package message turns sarama's messages into records and back.
package message

import (
	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
)

// FromConsumer makes a record of what a consumer got. It shares the message's
// bytes.
func FromConsumer(m *sarama.ConsumerMessage) stage.Raw {
	r := stage.Raw{
		Key: m.Key, Value: m.Value, Time: m.Timestamp,
		Topic: m.Topic, Partition: m.Partition, Offset: m.Offset,
	}
	if len(m.Headers) > 0 {
		r.Headers = make([]stage.Header, len(m.Headers))
		for i, h := range m.Headers {
			r.Headers[i] = stage.Header{Key: string(h.Key), Value: h.Value}
		}
	}
	return r
}

// ToProducer makes a message to r.Topic; the partitioner chooses the
// partition. No key, no value and no time stay none.
func ToProducer(r *stage.Raw) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: r.Topic, Timestamp: r.Time}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	if r.Value != nil {
		m.Value = sarama.ByteEncoder(r.Value)
	}
	if len(r.Headers) > 0 {
		m.Headers = make([]sarama.RecordHeader, len(r.Headers))
		for i, h := range r.Headers {
			m.Headers[i] = sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value}
		}
	}
	return m
}
