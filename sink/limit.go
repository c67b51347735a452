package sink

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// batchOverhead is more than what a batch has besides its records (61 bytes).
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

// fleet writes with several producers: one for each limit, since sarama has
// one limit for what it puts into a batch and a broker refuses a batch that is
// too large with all the small records in it.
type fleet struct {
	rest *producer
	of   map[string]*producer // by topic, where it is not rest
	all  []*producer
}

// newFleet makes a producer with cfg, and others for topics that take less.
func newFleet(ctx context.Context, c *kafka.Cluster, cfg *sarama.Config, env stage.Env, most map[string]int) (*fleet, error) {
	f := &fleet{of: make(map[string]*producer)}
	byLimit := make(map[int]*producer)
	open := func(limit int) (*producer, error) {
		if p, ok := byLimit[limit]; ok {
			return p, nil
		}
		own := *cfg
		own.Producer.MaxMessageBytes = limit
		p, err := newProducer(ctx, c.Brokers, &own, env)
		if err != nil {
			return nil, fmt.Errorf("sink: producer for %v: %w", c.Brokers, err)
		}
		byLimit[limit] = p
		f.all = append(f.all, p)
		return p, nil
	}
	var err error
	if f.rest, err = open(cfg.Producer.MaxMessageBytes); err != nil {
		return nil, err
	}
	for topic, n := range most {
		if n-batchOverhead < cfg.Producer.MaxMessageBytes {
			if f.of[topic], err = open(n - batchOverhead); err != nil {
				return nil, errors.Join(err, f.Close(ctx))
			}
		}
	}
	return f, nil
}

func (f *fleet) Write(recs []stage.Raw, done func(i int, err error)) {
	if len(f.of) == 0 {
		f.rest.Write(recs, done)
		return
	}
	for begin := 0; begin < len(recs); {
		p := f.to(recs[begin].Topic)
		end := begin + 1
		for end < len(recs) && f.to(recs[end].Topic) == p {
			end++
		}
		base := begin
		p.Write(recs[base:end], func(i int, err error) { done(base+i, err) })
		begin = end
	}
}

func (f *fleet) to(topic string) *producer {
	if p, ok := f.of[topic]; ok {
		return p
	}
	return f.rest
}

func (f *fleet) Close(ctx context.Context) error {
	var errs []error
	for _, p := range f.all {
		errs = append(errs, p.Close(ctx))
	}
	return errors.Join(errs...)
}
