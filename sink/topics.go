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

// topics are those that a producer writes to.
type topics struct {
	client sarama.Client
	named  []string          // by the stage, and found when it began
	chosen map[string]answer // by records
}

// answer is what was heard of a topic, and when.
type answer struct {
	unknown bool
	at      time.Time
}

// watch looks for the topics that the stage has named, and returns when one of
// them is gone, or ctx has ended. sarama takes one that was deleted for an
// outage, and says nothing for as long as it bears those.
func (t *topics) watch(ctx context.Context) (topic string, gone bool) {
	if len(t.named) == 0 || t.client.Config().Metadata.AllowAutoTopicCreation {
		return "", false
	}
	pause, seen := watchEvery, 0
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", false
		}
		topic = t.missing(t.named...)
		if topic == "" {
			pause, seen = watchEvery, 0
			continue
		}
		if seen++; seen == 3 {
			return topic, true
		}
		pause = watchAgain
	}
}

// gone reports whether a topic does not exist, which it asks three times: a
// broker that has just started may not know it yet.
func (t *topics) gone(ctx context.Context, topic string) bool {
	for try := range 3 {
		if try > 0 {
			select {
			case <-time.After(watchAgain):
			case <-ctx.Done():
				return false
			}
		}
		if t.missing(topic) == "" {
			return false
		}
	}
	return true
}

// missing asks one broker, once, and returns a topic that it does not know; ""
// if there is none, or nobody answers.
func (t *topics) missing(of ...string) string {
	broker := t.client.LeastLoadedBroker()
	if broker == nil {
		return ""
	}
	resp, err := broker.GetMetadata(sarama.NewMetadataRequest(t.client.Config().Version, of))
	if err != nil {
		return ""
	}
	for _, m := range resp.Topics {
		if errors.Is(m.Err, sarama.ErrUnknownTopicOrPartition) && slices.Contains(of, m.Name) {
			return m.Name
		}
	}
	return ""
}

// unknown reports whether a record has chosen a topic that does not exist. It
// asks a few times, since not every broker knows at once of one that was just
// created, and remembers the answer for a while. It is for one goroutine at a
// time.
func (t *topics) unknown(topic string) bool {
	if slices.Contains(t.named, topic) || t.client.Config().Metadata.AllowAutoTopicCreation {
		return false
	}
	if a, ok := t.chosen[topic]; ok && (!a.unknown || time.Since(a.at) < watchEvery) {
		return a.unknown
	}
	unknown := true
	for try := 0; unknown && try < 5; try++ {
		time.Sleep(time.Duration(try) * 50 * time.Millisecond)
		unknown = t.missing(topic) != ""
	}
	if t.chosen == nil || len(t.chosen) >= 10_000 {
		t.chosen = make(map[string]answer)
	}
	t.chosen[topic] = answer{unknown, time.Now()}
	return unknown
}

// goneError is about a topic that was there when the stage began.
func goneError(topic string) error {
	return fmt.Errorf("%w: sink: topic %q does not exist any more; create it again: %w", stage.ErrRefused, topic, sarama.ErrUnknownTopicOrPartition)
}
