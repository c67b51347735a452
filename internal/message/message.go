// Package message turns sarama's messages into records and back.
package message

import (
	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
)

// FromConsumer makes a record of what a consumer got. It shares the message's
// bytes.
func FromConsumer(m *sarama.ConsumerMessage) (r stage.Raw) {
	r.Key, r.Value, r.Time = m.Key, m.Value, m.Timestamp
	r.Topic, r.Partition, r.Offset = m.Topic, m.Partition, m.Offset
	if len(m.Headers) > 0 {
		r.Headers = make([]stage.Header, len(m.Headers))
		for i, h := range m.Headers {
			r.Headers[i] = stage.Header{Key: string(h.Key), Value: h.Value}
		}
	}
	return r
}

// Outgoing is a message for a producer, with all it refers to in one piece of
// memory. It must not be copied.
type Outgoing struct {
	Message    sarama.ProducerMessage
	key, value encoded
}

// encoded is bytes as sarama takes them. A pointer to it costs no memory of
// its own, unlike a sarama.ByteEncoder.
type encoded []byte

func (e *encoded) Encode() ([]byte, error) { return *e, nil }
func (e *encoded) Length() int             { return len(*e) }

// Set makes o a message to r.Topic; the partitioner chooses the partition. No
// key, no value and no time stay none.
func (o *Outgoing) Set(r *stage.Raw) *sarama.ProducerMessage {
	m := &o.Message
	m.Topic, m.Timestamp = r.Topic, r.Time
	if r.Key != nil {
		o.key = r.Key
		m.Key = &o.key
	}
	if r.Value != nil {
		o.value = r.Value
		m.Value = &o.value
	}
	if len(r.Headers) > 0 {
		m.Headers = make([]sarama.RecordHeader, len(r.Headers))
		for i, h := range r.Headers {
			m.Headers[i] = sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value}
		}
	}
	return m
}

// ToProducer is Set for one message alone.
func ToProducer(r *stage.Raw) *sarama.ProducerMessage { return new(Outgoing).Set(r) }
