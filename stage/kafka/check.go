package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// Check waits until the cluster answers, at most StartTimeout, and reports what
// keeps a stage from working with it: a login or a certificate that is refused
// (at once), topics that are missing.
func (c *Cluster) Check(ctx context.Context, topics ...string) error {
	client, err := c.Dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // it has only read
	ctx, cancel := context.WithTimeout(ctx, c.startTimeout())
	defer cancel()
	return within(ctx, func() error {
		var errs []error
		for _, t := range slices.Compact(slices.Sorted(slices.Values(topics))) {
			errs = append(errs, explain(t, awaitTopic(ctx, client, t)))
		}
		return errors.Join(errs...)
	})
}

// awaitTopic looks for a topic a few times: one that was just created is not
// known to every broker at once.
func awaitTopic(ctx context.Context, client sarama.Client, topic string) error {
	var err error
	for try := range 8 {
		if try > 0 {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		err = client.RefreshMetadata(topic)
		if err == nil || !errors.Is(err, sarama.ErrUnknownTopicOrPartition) && !errors.Is(err, sarama.ErrLeaderNotAvailable) {
			return err
		}
	}
	return err
}

func explain(topic string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition):
		return fmt.Errorf("kafka: topic %q does not exist; create it first: %w", topic, err)
	case errors.Is(err, sarama.ErrTopicAuthorizationFailed):
		return fmt.Errorf("kafka: no permission for topic %q; grant it to this client's user: %w", topic, err)
	}
	return fmt.Errorf("kafka: topic %q: %w", topic, err)
}
