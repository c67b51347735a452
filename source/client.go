package source

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// groupClient is a consumer group's client that fetches over connections of
// their own, as Java's consumers keep one for their coordinator.
//
// sarama holds a broker's lock until a request is answered, and a fetch from
// idle partitions is answered only after Consumer.MaxWaitTime. Over the same
// connections, heartbeats and commits wait for that, and a leader that works
// out an assignment waits for it twice a broker: it refreshes its metadata,
// for which sarama looks at each broker's load. Meanwhile it sends no
// heartbeat. In a cluster with enough idle brokers that takes longer than a
// session, and the group never gets stable.
type groupClient struct {
	sarama.Client               // asks
	fetches       sarama.Client // knows the same brokers
}

func newGroupClient(addrs []string, cfg *sarama.Config) (sarama.Client, error) {
	asks, err := sarama.NewClient(addrs, cfg)
	if err != nil {
		return nil, err
	}
	fetches, err := sarama.NewClient(addrs, cfg)
	if err != nil {
		return nil, errors.Join(err, asks.Close())
	}
	return &groupClient{Client: asks, fetches: fetches}, nil
}

// LeaderAndEpoch says where sarama's consumer fetches a partition from.
func (c *groupClient) LeaderAndEpoch(topic string, partition int32) (*sarama.Broker, int32, error) {
	leader, epoch, err := c.Client.LeaderAndEpoch(topic, partition)
	if err != nil {
		return nil, 0, err
	}
	leader, err = c.apart(leader)
	return leader, epoch, err
}

// Broker says so for a follower in the consumer's rack.
func (c *groupClient) Broker(id int32) (*sarama.Broker, error) {
	b, err := c.Client.Broker(id)
	if err != nil {
		return nil, err
	}
	return c.apart(b)
}

// apart returns the same broker on the connection that fetches.
func (c *groupClient) apart(b *sarama.Broker) (*sarama.Broker, error) {
	f, err := c.fetches.Broker(b.ID())
	if err != nil || f.Addr() != b.Addr() {
		// It is new, or came back at another address.
		if err := c.fetches.RefreshMetadata(); err != nil {
			return nil, fmt.Errorf("source: look for broker %d: %w", b.ID(), err)
		}
		return c.fetches.Broker(b.ID())
	}
	return f, nil
}

// PartitionNotReadable asks for leaders again, for a moment. sarama's consumer
// group waits here before it reads a partition that has none, and looks again
// every 5 s, but does not ask: a member that joined while a broker came back would
// be silent until the next refresh of Metadata.RefreshFrequency, 10 minutes.
func (c *groupClient) PartitionNotReadable(topic string, partition int32) bool {
	for range 10 { // no context tells of the end of the claim
		if !c.Client.PartitionNotReadable(topic, partition) {
			return false
		}
		time.Sleep(100 * time.Millisecond)
		_ = c.RefreshMetadata(topic) // if it fails, the partition is still not readable
	}
	return c.Client.PartitionNotReadable(topic, partition)
}

// Close closes all connections.
func (c *groupClient) Close() error { return errors.Join(c.fetches.Close(), c.Client.Close()) }
