package reply

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
	"github.com/millrace-go/millrace/internal/message"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// Asker asks. It is safe for concurrent use; make one with Dial.
type Asker struct {
	topics   flow.Topics
	client   sarama.Client
	consumer sarama.Consumer
	claims   []sarama.PartitionConsumer
	producer sarama.SyncProducer
	heard    sync.WaitGroup
	sent     sync.WaitGroup

	mu      sync.Mutex
	waiting map[string]chan<- result // nil once closed
}

// ErrClosed is what a question gets that waits for, or comes after, Close.
var ErrClosed = errors.New("the prompt is closed")

type result struct {
	answer flow.Answer
	err    error
}

// FailedError says that a stage gave a question up, and why.
type FailedError struct{ Stage, Reason string }

// Error gives both.
func (e *FailedError) Error() string {
	return fmt.Sprintf("the %s stage gave this question up: %s", e.Stage, e.Reason)
}

// Dial connects and returns when no answer can be missed any more. The topics
// must exist.
func Dial(ctx context.Context, c *kafka.Cluster, t flow.Topics) (*Asker, error) {
	client, err := c.Dial(ctx)
	if err != nil {
		return nil, err
	}
	a := &Asker{topics: t, client: client, waiting: make(map[string]chan<- result)}
	if err := a.open(ctx, c); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// claim starts to read a partition from its end. The leader of one that was
// just created may not know it yet.
func (a *Asker) claim(ctx context.Context, topic string, partition int32) (sarama.PartitionConsumer, error) {
	for try := 0; ; try++ {
		claim, err := a.consumer.ConsumePartition(topic, partition, sarama.OffsetNewest)
		young := errors.Is(err, sarama.ErrNotLeaderForPartition) || errors.Is(err, sarama.ErrLeaderNotAvailable) || errors.Is(err, sarama.ErrUnknownTopicOrPartition)
		if !young || try == 50 {
			return claim, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
			_ = a.client.RefreshMetadata(topic) // what is wrong, the next try says
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (a *Asker) open(ctx context.Context, c *kafka.Cluster) (err error) {
	cfg, err := c.ProducerConfig()
	if err != nil {
		return err
	}
	if a.producer, err = sarama.NewSyncProducer(c.Brokers, cfg); err != nil {
		return fmt.Errorf("producer: %w", err)
	}
	if a.consumer, err = sarama.NewConsumerFromClient(a.client); err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	for topic, hear := range map[string]func(*sarama.ConsumerMessage){a.topics.Answers.Name: a.answered, a.topics.Dead: a.failed} {
		partitions, err := a.client.Partitions(topic)
		if err != nil {
			return fmt.Errorf("topic %q: %w", topic, err)
		}
		for _, p := range partitions {
			claim, err := a.claim(ctx, topic, p)
			if err != nil {
				return fmt.Errorf("topic %q: %w", topic, err)
			}
			a.claims = append(a.claims, claim)
			a.heard.Go(func() {
				for m := range claim.Messages() {
					hear(m)
				}
			})
		}
	}
	return nil
}

// Ask sends a question and waits for its answer until ctx ends.
func (a *Asker) Ask(ctx context.Context, text string) (flow.Answer, error) {
	id := rand.Text()
	found := make(chan result, 1)
	a.mu.Lock()
	if a.waiting == nil {
		a.mu.Unlock()
		return flow.Answer{}, ErrClosed
	}
	a.waiting[id] = found
	a.sent.Add(1)
	a.mu.Unlock()
	defer a.forget(id)

	begun := time.Now()
	// Sending takes no context, and tries for long when the broker is gone.
	go func() {
		defer a.sent.Done()
		a.send(id, text, begun)
	}()
	select {
	case r := <-found:
		r.answer.MS.Total = float64(time.Since(begun).Microseconds()) / 1000
		return r.answer, r.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return flow.Answer{}, fmt.Errorf("no answer after %v: do the embed and the nearest stage run?", time.Since(begun).Round(time.Millisecond))
		}
		return flow.Answer{}, ctx.Err()
	}
}

func (a *Asker) send(id, text string, begun time.Time) {
	_, _, err := a.producer.SendMessage(message.ToProducer(&stage.Raw{
		Topic: a.topics.Questions.Name, Key: []byte(id), Value: []byte(text), Time: begun,
		Headers: []stage.Header{{Key: flow.HeaderID, Value: []byte(id)}, {Key: flow.HeaderQuestion, Value: []byte(text)}},
	}))
	if err != nil {
		a.deliver(id, result{err: fmt.Errorf("the question could not be sent: %w", err)})
	}
}

func (a *Asker) answered(m *sarama.ConsumerMessage) {
	answer, err := a.topics.Answers.Codec.Decode(m.Value)
	if err != nil {
		err = fmt.Errorf("the answer could not be read: %w", err)
	}
	r := message.FromConsumer(m)
	id, _ := r.Header(flow.HeaderID)
	a.deliver(string(id), result{answer, err})
}

func (a *Asker) failed(m *sarama.ConsumerMessage) {
	r := message.FromConsumer(m)
	id, _ := r.Header(flow.HeaderID)
	stage, _ := r.Header("__connect.errors.connector.name")
	reason, _ := r.Header("__connect.errors.exception.message")
	a.deliver(string(id), result{err: &FailedError{Stage: string(stage), Reason: string(reason)}})
}

// deliver gives the first answer to who waits for it, and drops all others.
func (a *Asker) deliver(id string, res result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if found, ok := a.waiting[id]; ok {
		delete(a.waiting, id)
		found <- res
	}
}

func (a *Asker) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, id)
}

// Close ends it; questions that wait are not answered.
func (a *Asker) Close() error {
	a.mu.Lock()
	for _, found := range a.waiting {
		found <- result{err: ErrClosed}
	}
	a.waiting = nil
	a.mu.Unlock()

	var errs []error
	for _, c := range a.claims {
		errs = append(errs, c.Close())
	}
	a.heard.Wait()
	if a.consumer != nil {
		errs = append(errs, a.consumer.Close())
	}
	a.sent.Wait()
	if a.producer != nil {
		errs = append(errs, a.producer.Close())
	}
	return errors.Join(append(errs, a.client.Close())...)
}
