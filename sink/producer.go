package sink

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/message"
	"github.com/millrace-go/millrace/stage"
)

// producer writes by an asynchronous producer. Two goroutines hear its
// answers until it is closed.
type producer struct {
	async sarama.AsyncProducer
	limit int // bytes of a record
	heard sync.WaitGroup
	order sync.Mutex // keeps the records of one Write together
}

// parcel is a message, and the way back from its answer to who asked.
type parcel struct {
	message.Outgoing
	done func(i int, err error)
	i    int
}

func newProducer(async sarama.AsyncProducer, cfg *sarama.Config) *producer {
	p := &producer{async: async, limit: cfg.Producer.MaxMessageBytes}
	p.heard.Go(func() {
		for m := range async.Successes() {
			p := m.Metadata.(*parcel)
			p.done(p.i, nil)
		}
	})
	p.heard.Go(func() {
		for e := range async.Errors() {
			p := e.Msg.Metadata.(*parcel)
			p.done(p.i, classify(e))
		}
	})
	return p
}

func (p *producer) Write(recs []stage.Raw, done func(i int, err error)) {
	p.order.Lock()
	defer p.order.Unlock()
	parcels := make([]parcel, len(recs))
	for i := range recs {
		k := &parcels[i]
		k.done, k.i = done, i
		m := k.Set(&recs[i])
		// sarama would find this out, too, but fail all that is in the same
		// transaction.
		if size := m.ByteSize(2); size > p.limit {
			done(i, stage.Permanent(fmt.Errorf("sink: a record of %d bytes for topic %q, and at most %d can be written", size, m.Topic, p.limit)))
			continue
		}
		m.Metadata = k
		p.async.Input() <- m
	}
}

// classify tells the errors that are the record's own fault, for good, from
// those of the broker.
func classify(e *sarama.ProducerError) error {
	err := fmt.Errorf("sink: write to topic %q: %w", e.Msg.Topic, e.Err)
	if _, ok := errors.AsType[sarama.ConfigurationError](e.Err); ok {
		return stage.Permanent(err)
	}
	if isOneOf(e.Err, sarama.ErrMessageSizeTooLarge, sarama.ErrInvalidRecord, sarama.ErrInvalidTimestamp, sarama.ErrInvalidTopic,
		sarama.ErrUnknownTopicOrPartition, // it was there when the stage began, or the record chose it
	) {
		return stage.Permanent(err)
	}
	// These will not pass by waiting, but another record may go another way.
	if isOneOf(e.Err, sarama.ErrSASLAuthenticationFailed, sarama.ErrTopicAuthorizationFailed, sarama.ErrClusterAuthorizationFailed, sarama.ErrInvalidRequiredAcks,
		sarama.ErrUnsupportedVersion, sarama.ErrUnsupportedForMessageFormat, sarama.ErrPolicyViolation) {
		return err
	}
	return fmt.Errorf("%w: %w", stage.ErrUnavailable, err)
}

func (p *producer) Close(ctx context.Context) error {
	p.async.AsyncClose()
	done := make(chan struct{})
	go func() {
		p.heard.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sink: the producer still waits for the broker: %w", ctx.Err())
	}
}
