// Package preflight is what the Kafka source and sink ask a cluster before the
// first record, beyond whether their topics exist. It only reads. What a
// broker does not tell this client is taken to be right: the start, or the
// first write, will say.
package preflight

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

// Operations on a topic, by the numbers of Kafka's AclOperation.
const (
	Read  Operation = 3
	Write Operation = 4
)

// Operation is what a user may be allowed.
type Operation int

func (o Operation) String() string {
	if o == Read {
		return "READ"
	}
	return "WRITE"
}

// untold is what a broker answers that does not tell permissions.
const untold = -1 << 31

// Topics reports what is wrong with topics: that this client may not do op, or
// that nothing can be written because one has fewer replicas than
// min.insync.replicas.
func Topics(client sarama.Client, op Operation, topics ...string) error {
	broker := client.LeastLoadedBroker()
	if broker == nil || len(topics) == 0 {
		return nil
	}
	req := sarama.NewMetadataRequest(client.Config().Version, topics)
	req.IncludeTopicAuthorizedOperations = true
	resp, err := broker.GetMetadata(req)
	if err != nil {
		return nil //nolint:nilerr // untold
	}
	var errs []error
	for _, t := range resp.Topics {
		if !errors.Is(t.Err, sarama.ErrNoError) {
			continue // that it is missing, or hidden, was said already
		}
		if t.Version >= 8 && t.TopicAuthorizedOperations != untold && t.TopicAuthorizedOperations&(1<<op) == 0 {
			errs = append(errs, fmt.Errorf("no permission for topic %q; let this client's user %v it: %w", t.Name, op, sarama.ErrTopicAuthorizationFailed))
		}
		if op == Write {
			errs = append(errs, replicas(client, t))
		}
	}
	return errors.Join(errs...)
}

// replicas compares a topic's replicas with how many have to acknowledge.
func replicas(client sarama.Client, t *sarama.TopicMetadata) error {
	least, ok := setting(client, sarama.TopicResource, t.Name, "min.insync.replicas")
	if !ok {
		return nil
	}
	for _, p := range t.Partitions {
		if len(p.Replicas) < least {
			return fmt.Errorf("nothing can be written to topic %q: it has %d replicas of partition %d, and min.insync.replicas is %d; add replicas, or lower that", t.Name, len(p.Replicas), p.ID, least)
		}
	}
	return nil
}

// Group reports that this client may not use a consumer group.
func Group(client sarama.Client, group string) error {
	if _, err := client.Coordinator(group); errors.Is(err, sarama.ErrGroupAuthorizationFailed) {
		return fmt.Errorf("no permission for the consumer group %q; let this client's user READ it: %w", group, err)
	}
	return nil
}

// Transactions reports that this client may not use a transactional id, or
// that the brokers do not bear transactions for as long.
func Transactions(client sarama.Client, id string, timeout time.Duration) error {
	broker, err := client.TransactionCoordinator(id)
	if errors.Is(err, sarama.ErrTransactionalIDAuthorizationFailed) {
		return fmt.Errorf("no permission for the transactional id %q; let this client's user WRITE it: %w", id, err)
	}
	if err != nil {
		return nil //nolint:nilerr // untold: a coordinator may still be on its way
	}
	const name = "transaction.max.timeout.ms"
	most, ok := setting(client, sarama.BrokerResource, strconv.Itoa(int(broker.ID())), name)
	if longest := time.Duration(most) * time.Millisecond; ok && timeout > longest {
		return fmt.Errorf("Producer.Transaction.Timeout is %v, and the broker's %s is %d (%v); lower the one, by default nine tenths of Consumer.Group.Session.Timeout, or raise the other", timeout, name, most, longest)
	}
	return nil
}

// setting asks for a number in the configuration of a topic or a broker. It
// takes a permission that not every client has.
func setting(client sarama.Client, of sarama.ConfigResourceType, which, name string) (n int, ok bool) {
	admin, err := sarama.NewClusterAdminFromClient(client) // not closed: that would close client
	if err != nil {
		return 0, false
	}
	ask := []*sarama.ConfigResource{{Type: of, Name: which, ConfigNames: []string{name}}}
	results, err := admin.DescribeConfigs(ask, sarama.DescribeConfigsOptions{})
	if err != nil || len(results) != 1 || !errors.Is(results[0].ErrorCode, sarama.ErrNoError) {
		return 0, false
	}
	for _, e := range results[0].Configs {
		if e.Name == name {
			n, err = strconv.Atoi(e.Value)
			return n, err == nil
		}
	}
	return 0, false
}
