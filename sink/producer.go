package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
)

// producer writes by an asynchronous producer. Two goroutines hear its
// answers until it is closed, a third one watches the topics.
type producer struct {
	client  sarama.Client
	async   sarama.AsyncProducer
	sizes   sizes
	heard   sync.WaitGroup
	unwatch context.CancelFunc
	watched sync.WaitGroup

	order  sync.Mutex // keeps the records of one Write together; guards the next two
	topics topics
	closed bool // async takes nothing more

	shipments sync.Pool // that are over, for others
	reuse     bool      // no interceptor may have kept a message

	refused atomic.Pointer[error] // why no record is written any more
	hurry   atomic.Bool           // nothing is worth waiting for any more
	ended   sync.Once
}

// newProducer connects. It leaves cfg as it is.
func newProducer(ctx context.Context, brokers []string, cfg *sarama.Config, sizes sizes, env stage.Env) (*producer, error) {
	p := &producer{sizes: sizes, reuse: len(cfg.Producer.Interceptors) == 0}
	own := *cfg
	own.Producer.Retry.BackoffFunc = p.backoff(own.Producer.Retry.Backoff, own.Producer.Retry.BackoffFunc)
	txn := &own.Producer.Transaction.Retry
	if txn.BackoffFunc == nil {
		txn.BackoffFunc = soon(txn.Backoff)
	}
	txn.BackoffFunc = p.backoff(txn.Backoff, txn.BackoffFunc)
	own.Metadata.Retry.BackoffFunc = p.backoff(own.Metadata.Retry.Backoff, own.Metadata.Retry.BackoffFunc)
	if err := p.connect(ctx, brokers, &own); err != nil {
		return nil, err
	}
	p.topics = topics{client: p.client, named: env.Topics}
	p.heard.Go(func() {
		for m := range p.async.Successes() {
			m.Metadata.(*parcel).answer(nil)
		}
	})
	p.heard.Go(func() {
		for e := range p.async.Errors() {
			e.Msg.Metadata.(*parcel).answer(p.classify(e))
		}
	})
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.unwatch = cancel
	p.watched.Go(func() {
		if topic, gone := p.topics.watch(watch); gone {
			env.Logger.Error("a topic that the stage writes to does not exist any more", "topic", topic)
			err := goneError(topic)
			p.refused.Store(&err)
			p.end()
		}
	})
	return p, nil
}

// connect tries for as long as cfg says, or until ctx ends. sarama takes no
// context for that, and minutes where the brokers are gone: what it makes after
// that is closed again.
func (p *producer) connect(ctx context.Context, brokers []string, cfg *sarama.Config) error {
	made := make(chan error)
	go func() {
		var err error
		if p.client, err = sarama.NewClient(brokers, cfg); err == nil {
			if p.async, err = sarama.NewAsyncProducerFromClient(p.client); err != nil {
				err = errors.Join(err, p.client.Close())
			}
		}
		select {
		case made <- err:
		case <-ctx.Done():
			if err == nil {
				_ = p.async.Close() // nothing was written
				_ = p.client.Close()
			}
		}
	}()
	select {
	case err := <-made:
		return err
	case <-ctx.Done():
		p.hurry.Store(true)
		return fmt.Errorf("sink: connect a producer: %w", ctx.Err())
	}
}

// backoff is what is set, unless there is a hurry.
func (p *producer) backoff(d time.Duration, set func(retries, most int) time.Duration) func(int, int) time.Duration {
	return func(retries, most int) time.Duration {
		switch {
		case p.hurry.Load():
			return time.Millisecond
		case set != nil:
			return set(retries, most)
		}
		return d
	}
}

// soon begins with short pauses: a transaction that follows another one waits
// until the broker has ended that, which takes some milliseconds.
func soon(most time.Duration) func(retries, _ int) time.Duration {
	return func(retries, _ int) time.Duration {
		return min(most, 5*time.Millisecond<<min(retries, 10))
	}
}

// Write blocks while sarama has all it can keep, until end.
func (p *producer) Write(recs []stage.Raw, done func(i int, err error)) {
	p.order.Lock()
	defer p.order.Unlock()
	if p.closed { // by a stage that waited in vain for who calls
		fail(recs, done)
		return
	}
	parcels := p.load(len(recs), done)
	var limit int
	var unknown bool
	for i := range recs {
		k := &parcels[i]
		m := k.Set(&recs[i])
		if i == 0 || m.Topic != recs[i-1].Topic {
			limit, unknown = p.sizes.limit(m.Topic), p.topics.unknown(m.Topic)
		}
		// sarama would find this out, too, but fail all that is in the same
		// transaction.
		size := m.ByteSize(2)
		if size > limit {
			k.answer(stage.Permanent(fmt.Errorf("sink: a record of %d bytes for topic %q, and at most %d can be written", size, m.Topic, limit)))
			continue
		}
		if unknown {
			k.answer(stage.Permanent(fmt.Errorf("sink: the record chose topic %q: %w", m.Topic, sarama.ErrUnknownTopicOrPartition)))
			continue
		}
		if size > p.sizes.batch {
			m.Value = large{recs[i].Value, size - p.sizes.batch}
		}
		p.async.Input() <- m
	}
}

// fail answers for records that come after the end.
func fail(recs []stage.Raw, done func(i int, err error)) {
	for i := range recs {
		done(i, fmt.Errorf("%w: sink: the producer is closed", stage.ErrUnavailable))
	}
}

// classify tells the errors that are the record's own fault, for good, from
// those of the broker.
func (p *producer) classify(e *sarama.ProducerError) error {
	if why := p.refused.Load(); why != nil {
		return *why
	}
	err := fmt.Errorf("sink: write to topic %q: %w", e.Msg.Topic, e.Err)
	if errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
		if slices.Contains(p.topics.named, e.Msg.Topic) {
			return goneError(e.Msg.Topic)
		}
		return stage.Permanent(err) // the record chose it
	}
	if _, ok := errors.AsType[sarama.ConfigurationError](e.Err); ok {
		return stage.Permanent(err)
	}
	if isOneOf(e.Err, sarama.ErrMessageSizeTooLarge, sarama.ErrInvalidRecord, sarama.ErrInvalidTimestamp, sarama.ErrInvalidTopic) {
		return stage.Permanent(err)
	}
	// These will not pass by waiting, but another record may go another way.
	if isOneOf(e.Err, sarama.ErrSASLAuthenticationFailed, sarama.ErrTopicAuthorizationFailed, sarama.ErrClusterAuthorizationFailed, sarama.ErrInvalidRequiredAcks,
		sarama.ErrUnsupportedVersion, sarama.ErrUnsupportedForMessageFormat, sarama.ErrPolicyViolation) {
		return err
	}
	return fmt.Errorf("%w: %w", stage.ErrUnavailable, err)
}

// end makes all that is under way fail: without its client a producer tries
// nothing again.
func (p *producer) end() {
	p.ended.Do(func() {
		p.hurry.Store(true)
		_ = p.client.Close() // it has nothing to say that still matters
	})
}

// finish waits for what is under way, and frees what the producer holds.
func (p *producer) finish() {
	p.unwatch()
	p.order.Lock() // a Write that has begun comes first: sarama closes the channel that it fills
	p.closed = true
	p.order.Unlock()
	p.async.AsyncClose()
	p.heard.Wait()
	p.watched.Wait()
	p.end()
}

// Close is finish, but at the end of ctx it gives up what is under way.
func (p *producer) Close(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		p.finish()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		p.end()
		return fmt.Errorf("sink: the producer still waits for the broker: %w", ctx.Err())
	}
}
