package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage/reply"
)

// hops are the app's three hops without millrace and without its work, in whose
// place the loops may be busy for nothing as long:
//
//	prompt -> questions -> loop -> vectors -> loop -> answers -> prompt
//
// Topics, partitions, headers and sizes are the app's; producers wait for all
// replicas and are idempotent, as the app's. The loops read by partition, not
// as a group, and commit nothing, which the app's stages do: they are as short
// as such loops can be.
type hops struct {
	addrs     []string
	questions string
	answers   string
	prompt    sarama.AsyncProducer
	answered  chan *sarama.ConsumerMessage
	failed    chan error

	consumers []sarama.Consumer
	claims    []sarama.PartitionConsumer
	producers []sarama.AsyncProducer
	reading   sync.WaitGroup
	hearing   sync.WaitGroup
}

// What the app has on its way with all-MiniLM-L6-v2.
const (
	shares      = 6               // partitions of a topic that a stage reads
	vectorBytes = 384*4 + 10 + 32 // values, the form, the space
	headerText  = "question"
	headerBusy  = "busy-ms"
)

// work is how long the two loops are busy for nothing.
type work struct{ embed, nearest time.Duration }

func openHops(ctx context.Context, addrs []string, prefix string, answerBytes int, w work) (*hops, error) {
	h := &hops{addrs: addrs, questions: prefix + ".questions", answers: prefix + ".answers", answered: make(chan *sarama.ConsumerMessage, 1), failed: make(chan error, 1)}
	if err := h.open(ctx, prefix, answerBytes, w); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func (h *hops) open(ctx context.Context, prefix string, answerBytes int, w work) (err error) {
	vectors := prefix + ".vectors"
	if err := createTopics(ctx, h.addrs, map[string]int32{h.questions: shares, vectors: shares, h.answers: 1}); err != nil {
		return err
	}
	if err := h.consume(h.answers, func(m *sarama.ConsumerMessage) { h.answered <- m }); err != nil {
		return err
	}
	if err := h.relay(vectors, h.answers, answerBytes, w.nearest); err != nil {
		return err
	}
	if err := h.relay(h.questions, vectors, vectorBytes, w.embed); err != nil {
		return err
	}
	h.prompt, err = h.produce()
	return err
}

// relay passes records on, with another value, after it was busy for a while.
func (h *hops) relay(from, to string, size int, busy time.Duration) error {
	p, err := h.produce()
	if err != nil {
		return err
	}
	value := make([]byte, size)
	_, _ = rand.Read(value) // never fails
	return h.consume(from, func(m *sarama.ConsumerMessage) {
		begun := time.Now()
		for time.Since(begun) < busy { // sleeping would let the processor sleep, too
		}
		took := milliseconds(time.Since(begun))
		out := &sarama.ProducerMessage{
			Topic: to, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(value), Timestamp: m.Timestamp,
		}
		for _, header := range m.Headers {
			out.Headers = append(out.Headers, *header)
		}
		out.Headers = append(out.Headers, sarama.RecordHeader{Key: []byte(headerBusy), Value: strconv.AppendFloat(nil, took, 'f', 3, 64)})
		p.Input() <- out
	})
}

// produce opens a producer that writes at once, and hears its answers.
func (h *hops) produce() (sarama.AsyncProducer, error) {
	cfg := sarama.NewConfig()
	cfg.Producer.RequiredAcks = sarama.WaitForAll
	cfg.Producer.Idempotent = true
	cfg.Net.MaxOpenRequests = 1 // sarama's condition for Idempotent
	cfg.Producer.Partitioner = sarama.NewMurmur2Partitioner
	cfg.Producer.Return.Successes = true
	p, err := sarama.NewAsyncProducer(h.addrs, cfg)
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	h.producers = append(h.producers, p)
	h.hearing.Go(func() {
		for range p.Successes() {
		}
	})
	h.hearing.Go(func() {
		for err := range p.Errors() {
			select {
			case h.failed <- err:
			default: // the first one is enough
			}
		}
	})
	return p, nil
}

// consume calls f with what is new in a topic.
func (h *hops) consume(topic string, f func(*sarama.ConsumerMessage)) error {
	c, err := sarama.NewConsumer(h.addrs, sarama.NewConfig())
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	h.consumers = append(h.consumers, c)
	partitions, err := c.Partitions(topic)
	if err != nil {
		return fmt.Errorf("topic %q: %w", topic, err)
	}
	for _, p := range partitions {
		claim, err := c.ConsumePartition(topic, p, sarama.OffsetNewest)
		if err != nil {
			return fmt.Errorf("topic %q: %w", topic, err)
		}
		h.claims = append(h.claims, claim)
		h.reading.Go(func() {
			for m := range claim.Messages() {
				f(m)
			}
		})
	}
	return nil
}

// ask sends a question around, and returns the milliseconds to its answer
// without those in which a loop was busy.
func (h *hops) ask(ctx context.Context, text string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	id := rand.Text()
	begun := time.Now()
	h.prompt.Input() <- &sarama.ProducerMessage{
		Topic: h.questions, Key: sarama.StringEncoder(id), Value: sarama.StringEncoder(text), Timestamp: begun,
		Headers: []sarama.RecordHeader{
			{Key: []byte(headerText), Value: []byte(text)},
			{Key: []byte(reply.HeaderID), Value: []byte(id)},
			{Key: []byte(reply.HeaderTopic), Value: []byte(h.answers)},
			{Key: []byte(reply.HeaderDeadline), Value: strconv.AppendInt(nil, begun.Add(time.Minute).UnixMilli(), 10)},
		},
	}
	select {
	case got := <-h.answered:
		total := milliseconds(time.Since(begun))
		busy, err := check(got, id)
		return total - busy, err
	case err := <-h.failed:
		return 0, fmt.Errorf("the hops: %w", err)
	case <-ctx.Done():
		return 0, fmt.Errorf("the hops: no answer: %w", ctx.Err())
	}
}

// check tells whether an answer is that to question id, and how many
// milliseconds the loops were busy.
func check(m *sarama.ConsumerMessage, id string) (busy float64, err error) {
	if got := string(m.Key); got != id {
		return 0, fmt.Errorf("the hops answered question %s, not %s", got, id)
	}
	for _, header := range m.Headers {
		if string(header.Key) == headerBusy {
			ms, err := strconv.ParseFloat(string(header.Value), 64)
			if err != nil {
				return 0, fmt.Errorf("the hops: header %s: %w", headerBusy, err)
			}
			busy += ms
		}
	}
	return busy, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func (h *hops) close() error {
	var errs []error
	for _, c := range h.claims {
		errs = append(errs, c.Close())
	}
	h.reading.Wait()
	for _, p := range h.producers {
		p.AsyncClose()
	}
	h.hearing.Wait()
	for _, c := range h.consumers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
