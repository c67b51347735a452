package sink

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage/kafka"
)

// batchOverhead is more than what a batch has besides its records (61 bytes, and
// what compression adds to it).
const batchOverhead = 128

// limits asks for the max.message.bytes of topics. It takes the permission to
// describe their configuration.
func limits(ctx context.Context, c *kafka.Cluster, topics []string) (map[string]int, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	client, err := c.Dial(ctx)
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	defer func() { _ = admin.Close() }() // closes client, too
	const name = "max.message.bytes"
	var ask []*sarama.ConfigResource
	for _, topic := range topics {
		ask = append(ask, &sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{name}})
	}
	results, err := admin.DescribeConfigs(ask, sarama.DescribeConfigsOptions{})
	if err != nil {
		return nil, fmt.Errorf("configuration of topics: %w", err)
	}
	most := make(map[string]int)
	for _, r := range results {
		if !errors.Is(r.ErrorCode, sarama.ErrNoError) {
			return nil, fmt.Errorf("configuration of topic %q: %w", r.Name, r.ErrorCode)
		}
		for _, e := range r.Configs {
			if e.Name != name {
				continue
			}
			if most[r.Name], err = strconv.Atoi(e.Value); err != nil {
				return nil, fmt.Errorf("configuration of topic %q: %w", r.Name, err)
			}
		}
	}
	return most, nil
}

// sizes says how large what is written may be. sarama has one limit for
// everything, a broker one for the batches of each topic, and it refuses a batch
// that is too large with all the small records in it. So sarama gets the
// smallest, and a record above that, where its topic takes it, has a batch to
// itself.
type sizes struct {
	batch int            // of records together
	most  int            // of a record to a topic that is not in of
	of    map[string]int // of a record, by topic
}

// newSizes goes by the topics' max.message.bytes and by what the user allows.
func newSizes(cfg *sarama.Config, maxMessageBytes map[string]int) sizes {
	allowed := cfg.Producer.MaxMessageBytes
	s := sizes{batch: allowed, most: allowed, of: make(map[string]int)}
	for topic, n := range maxMessageBytes {
		n -= batchOverhead
		if cfg.Producer.Compression != sarama.CompressionNone {
			n -= n / 128 // what does not compress grows a little
		}
		s.of[topic] = min(allowed, n)
		s.batch = min(s.batch, n)
	}
	return s
}

func (s sizes) limit(topic string) int {
	if n, ok := s.of[topic]; ok {
		return n
	}
	return s.most
}

// large is a value that makes its record larger than what sarama may put into a
// batch. It owns up to less, so that the record just fits, and so that nothing
// else fits into the same batch.
type large struct {
	value  []byte
	hidden int // how much larger than a batch the record is
}

func (l large) Encode() ([]byte, error) { return l.value, nil }
func (l large) Length() int             { return len(l.value) - l.hidden }
