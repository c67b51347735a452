package flow

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// Topics are the topics of one instance of the app, told apart by a prefix.
type Topics struct {
	Questions stage.Topic[string]
	Vectors   stage.Topic[vector.Vector]
	Answers   stage.Topic[Answer]
	Dead      string // what could not be answered
	prefix    string
}

// TopicsOf names the topics.
func TopicsOf(prefix string) Topics {
	return Topics{
		Questions: stage.Topic[string]{Name: prefix + ".questions", Codec: stage.String()},
		Vectors:   stage.Topic[vector.Vector]{Name: prefix + ".vectors", Codec: vector.Codec{}},
		Answers:   stage.Topic[Answer]{Name: prefix + ".answers", Codec: stage.JSON[Answer]()},
		Dead:      prefix + ".dead",
		prefix:    prefix,
	}
}

// shares is how many processes can share the work of a stage.
const shares = 6

// Create makes the topics that do not exist yet. Every part does it, so that
// they can be started in any order.
func (t Topics) Create(ctx context.Context, c *kafka.Cluster) error {
	client, err := c.Dial(ctx)
	if err != nil {
		return err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return errors.Join(err, client.Close())
	}
	defer func() { _ = admin.Close() }() // closes client, too
	for name, partitions := range map[string]int32{
		t.Questions.Name: shares, t.Vectors.Name: shares, t.Answers.Name: 1, t.Dead: 1,
	} {
		// Minus one: as many replicas as the broker makes by default.
		err := admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: -1}, false)
		if err != nil && !errors.Is(err, sarama.ErrTopicAlreadyExists) {
			return fmt.Errorf("create topic %q: %w", name, err)
		}
	}
	return nil
}
