package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/stage"
)

// How often the topics are looked for, and how soon again, to be sure.
const (
	watchEvery = 5 * time.Second
	watchAgain = time.Second
)

// watch looks for the topics that the stage writes to, until ctx ends. sarama
// takes one that was deleted for an outage, and says nothing for as long as it
// bears those.
func (p *producer) watch(ctx context.Context) {
	if len(p.topics) == 0 || p.client.Config().Metadata.AllowAutoTopicCreation {
		return
	}
	pause, seen := watchEvery, 0
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		topic := p.missing(p.topics...)
		if topic == "" {
			pause, seen = watchEvery, 0
			continue
		}
		if seen++; seen < 3 {
			pause = watchAgain
			continue
		}
		p.log.Error("a topic that the stage writes to does not exist any more", "topic", topic)
		err := goneError(topic)
		p.refused.Store(&err)
		p.end()
		return
	}
}

// missing asks one broker, once, and returns a topic that it does not know; ""
// if there is none, or nobody answers.
func (p *producer) missing(topics ...string) string {
	broker := p.client.LeastLoadedBroker()
	if broker == nil {
		return ""
	}
	resp, err := broker.GetMetadata(sarama.NewMetadataRequest(p.client.Config().Version, topics))
	if err != nil {
		return ""
	}
	for _, t := range resp.Topics {
		if errors.Is(t.Err, sarama.ErrUnknownTopicOrPartition) && slices.Contains(topics, t.Name) {
			return t.Name
		}
	}
	return ""
}

// unknown reports whether a record has chosen a topic that does not exist. It
// asks a few times, since not every broker knows at once of one that was just
// created, and remembers the answer for a while. The caller holds order.
func (p *producer) unknown(topic string) bool {
	if slices.Contains(p.topics, topic) || p.client.Config().Metadata.AllowAutoTopicCreation {
		return false
	}
	if a, ok := p.chosen[topic]; ok && (!a.unknown || time.Since(a.at) < watchEvery) {
		return a.unknown
	}
	unknown := true
	for try := 0; unknown && try < 5; try++ {
		time.Sleep(time.Duration(try) * 50 * time.Millisecond)
		unknown = p.missing(topic) != ""
	}
	if p.chosen == nil || len(p.chosen) >= 10_000 {
		p.chosen = make(map[string]answer)
	}
	p.chosen[topic] = answer{unknown, time.Now()}
	return unknown
}

// answer is what was heard of a topic, and when.
type answer struct {
	unknown bool
	at      time.Time
}

// goneError is about a topic that was there when the stage began.
func goneError(topic string) error {
	return fmt.Errorf("%w: sink: topic %q does not exist any more; create it again: %w", stage.ErrRefused, topic, sarama.ErrUnknownTopicOrPartition)
}
