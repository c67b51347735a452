package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// Check waits until the cluster answers, at most StartTimeout, and reports what
// keeps a stage from working with it: a login or a certificate that is refused
// (at once), brokers that are too old, topics that are missing.
func (c *Cluster) Check(ctx context.Context, topics ...string) error {
	client, err := c.Dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // it has only read
	ctx, cancel := context.WithTimeout(ctx, c.startTimeout())
	defer cancel()
	return within(ctx, func() error {
		errs := []error{tooOld(client)}
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

// tooOld looks for what a stage asks of its brokers, all of which Kafka 2.5
// has: a member's generation is checked with its transaction, and committed
// offsets are only seen when their transaction has ended (KIP-447).
func tooOld(client sarama.Client) error {
	broker := client.LeastLoadedBroker()
	if broker == nil {
		return nil // all are gone again, which the topics will say
	}
	versions, err := broker.ApiVersions(&sarama.ApiVersionsRequest{})
	if err != nil {
		return fmt.Errorf("kafka: ask %s for its version: %w", broker.Addr(), err)
	}
	has := make(map[int16]int16)
	for _, k := range versions.ApiKeys {
		has[k.ApiKey] = k.MaxVersion
	}
	var missing []string
	for _, need := range []struct {
		name         string
		key, version int16
	}{
		{"Produce", 0, 3}, {"Fetch", 1, 4}, {"OffsetFetch", 9, 7}, {"JoinGroup", 11, 5}, {"InitProducerId", 22, 3}, {"TxnOffsetCommit", 28, 3},
	} {
		if v, ok := has[need.key]; !ok {
			missing = append(missing, "no "+need.name)
		} else if v < need.version {
			missing = append(missing, fmt.Sprintf("%s up to version %d instead of %d", need.name, v, need.version))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("kafka: the broker at %s is too old (%s); upgrade it to Kafka 2.5 or later", broker.Addr(), strings.Join(missing, ", "))
}
