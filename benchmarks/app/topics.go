package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// createTopics makes topics and waits until they can be used.
func createTopics(ctx context.Context, addrs []string, partitions map[string]int32) error {
	client, err := sarama.NewClient(addrs, sarama.NewConfig())
	if err != nil {
		return fmt.Errorf("create the topics: %w", err)
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return errors.Join(fmt.Errorf("create the topics: %w", err), client.Close())
	}
	defer func() { _ = admin.Close() }() // closes client, too
	for name, n := range partitions {
		// Minus one: as many replicas as the broker makes by default.
		err := admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: n, ReplicationFactor: -1}, false)
		if err != nil {
			return fmt.Errorf("create topic %q: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for name, n := range partitions {
		for p := range n {
			if err := awaitLeader(ctx, client, name, p); err != nil {
				return fmt.Errorf("topic %q, partition %d: %w", name, p, err)
			}
		}
	}
	return nil
}

// awaitLeader waits until a new partition has a leader that knows it is one.
func awaitLeader(ctx context.Context, client sarama.Client, topic string, partition int32) error {
	for {
		_, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// cleanUp deletes the topics and groups of a run.
func cleanUp(addrs []string, prefix string) error {
	admin, err := sarama.NewClusterAdmin(addrs, sarama.NewConfig())
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	defer func() { _ = admin.Close() }()
	topics, err := admin.ListTopics()
	errs := []error{err}
	for name := range topics {
		if strings.HasPrefix(name, prefix+".") {
			errs = append(errs, admin.DeleteTopic(name))
		}
	}
	groups, err := admin.ListConsumerGroups()
	errs = append(errs, err)
	for name := range groups {
		if strings.HasPrefix(name, prefix+".") {
			errs = append(errs, admin.DeleteConsumerGroup(name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}
