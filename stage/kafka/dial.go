package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

func (c *Cluster) startTimeout() time.Duration { return cmp.Or(c.StartTimeout, 30*time.Second) }

// Dial connects a client by [Cluster.ClientConfig], trying for at most
// StartTimeout. What waiting can't mend, such as a wrong password or
// certificate, it reports at once. The caller closes the client.
func (c *Cluster) Dial(ctx context.Context) (sarama.Client, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New("kafka: Cluster.Brokers is empty; give at least one host:port")
	}
	cfg, err := c.ClientConfig()
	if err != nil {
		return nil, err
	}
	var client sarama.Client
	try, cancel := context.WithTimeout(ctx, c.startTimeout())
	defer cancel()
	err = within(try, func() error {
		for guessed := 0; ; {
			got, err := c.connect(try, cfg)
			if err == nil && try.Err() != nil {
				return errors.Join(try.Err(), got.Close()) // nobody waits for it any more
			}
			if err == nil {
				client = got
				return nil
			}
			if no, ok := errors.AsType[*refusal](err); ok {
				if guessed++; no.sure || guessed == 3 {
					return err
				}
			} else {
				guessed = 0
			}
			select {
			case <-time.After(time.Second):
			case <-try.Done():
				return err
			}
		}
	})
	_, refused := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		return client, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case refused:
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return nil, fmt.Errorf("kafka: no broker answers at %s (tried for %v); is it running, and is the address right? %w", strings.Join(c.Brokers, ","), c.startTimeout(), err)
}

// connect knocks at all brokers at once and goes to the first that lets this
// client in. sarama alone would wait without end for a handshake that is not
// answered, and often keeps the reason of a failure to itself.
func (c *Cluster) connect(ctx context.Context, cfg *sarama.Config) (sarama.Client, error) {
	type answer struct {
		broker int
		err    error
	}
	answers := make(chan answer, len(c.Brokers)) // those that come too late end by their time-outs
	for i, addr := range c.Brokers {
		go func() { answers <- answer{i, knock(ctx, cfg, addr)} }()
	}
	failed := make([]error, len(c.Brokers))
	for range c.Brokers {
		a := <-answers
		if a.err != nil {
			failed[a.broker] = a.err
			continue
		}
		addr := c.Brokers[a.broker]
		client, err := sarama.NewClient([]string{addr}, cfg)
		if closed(err) && !cfg.Net.SASL.Enable {
			return nil, &refusal{addr: addr, err: err, advice: "the broker closes the connection at the first request; if it wants a login, set Net.SASL in Cluster.Config"}
		}
		return client, err
	}
	for i, err := range failed {
		failed[i] = explainKnock(ctx, cfg, c.Brokers[i], err)
	}
	return nil, errors.Join(failed...)
}

// within runs f, which takes no context, until ctx ends. A call that has not
// returned by then goes on by itself and ends with its own time-outs.
func within(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		select {
		case err := <-done:
			return err
		case <-time.After(100 * time.Millisecond): // f may be about to say why
			return ctx.Err()
		}
	}
}
