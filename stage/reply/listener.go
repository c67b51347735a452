package reply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/message"
	"github.com/millrace-go/millrace/stage"
)

// listener reads whole topics from their ends, as a member of no group: one
// goroutine a partition, and one that looks for new partitions.
type listener struct {
	client   sarama.Client
	consumer sarama.Consumer
	hear     func(*stage.Raw)
	log      *slog.Logger
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	fault   error // the last one in reading
	faultAt time.Time
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// listen owns client. It returns when nothing can be missed any more.
func listen(ctx context.Context, client sarama.Client, topics []string, log *slog.Logger, hear func(*stage.Raw)) (*listener, error) {
	client.Config().Consumer.Return.Errors = true
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &listener{client: client, consumer: consumer, hear: hear, log: log, stop: stop}
	known := make(map[place]bool)
	for _, topic := range topics {
		partitions, err := client.Partitions(topic)
		for _, p := range partitions {
			at := place{topic, p}
			known[at] = true
			var claim sarama.PartitionConsumer
			if claim, err = l.claim(ctx, at, sarama.OffsetNewest); err != nil {
				break
			}
			l.running.Go(func() { l.follow(live, at, claim) })
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read topic %q: %w", topic, err), l.close())
		}
	}
	l.running.Go(func() { l.watch(live, topics, known) })
	return l, nil
}

// claim begins to read a partition. If that was just created, its leader may
// not know it yet.
func (l *listener) claim(ctx context.Context, at place, offset int64) (sarama.PartitionConsumer, error) {
	for try := 0; ; try++ {
		claim, err := l.consumer.ConsumePartition(at.topic, at.partition, offset)
		young := errors.Is(err, sarama.ErrNotLeaderForPartition) || errors.Is(err, sarama.ErrLeaderNotAvailable) || errors.Is(err, sarama.ErrUnknownTopicOrPartition)
		if !young || try == 50 {
			return claim, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
			_ = l.client.RefreshMetadata(at.topic) // what is wrong, the next try says
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// reclaim reads a partition from its beginning, however long it takes to get
// there, or returns nil when ctx ends. What is older than the questions is
// dropped as late, or as of others.
func (l *listener) reclaim(ctx context.Context, at place) sarama.PartitionConsumer {
	for {
		claim, err := l.claim(ctx, at, sarama.OffsetOldest)
		if err == nil {
			return claim
		}
		l.failed(at, err)
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

// follow hears what comes until ctx ends. sarama mends broken connections by
// itself, but gives up where the partition has lost its place: records were
// deleted before they were read, or the topic was created anew.
func (l *listener) follow(ctx context.Context, at place, claim sarama.PartitionConsumer) {
	for claim != nil {
		select {
		case m, ok := <-claim.Messages():
			if ok {
				r := message.FromConsumer(m)
				l.hear(&r)
				continue
			}
			for err := range claim.Errors() { // there are no more after these
				l.failed(at, err)
			}
			l.log.Warn("answers may have been missed: the partition is read from its beginning", "topic", at.topic, "partition", at.partition)
			claim = l.reclaim(ctx, at)
		case err, ok := <-claim.Errors():
			if ok {
				l.failed(at, err)
			}
		case <-ctx.Done():
			_ = claim.Close() // what still goes wrong matters to nobody
			return
		}
	}
}

func (l *listener) failed(at place, err error) {
	if e, ok := errors.AsType[*sarama.ConsumerError](err); ok {
		err = e.Err // without the place, which is said here
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.faultAt = fmt.Errorf("topic %s/%d: %w", at.topic, at.partition, err), time.Now()
}

// faultSince is the last fault in reading, if it is not older than begun.
func (l *listener) faultSince(begun time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faultAt.Before(begun) {
		return nil
	}
	return l.fault
}

// watchEvery is how often new partitions are looked for, or as often as
// sarama's Metadata.RefreshFrequency says.
const watchEvery = 5 * time.Second

// watch reads partitions that topics get later, from their beginning.
func (l *listener) watch(ctx context.Context, topics []string, known map[place]bool) {
	every := watchEvery
	if f := l.client.Config().Metadata.RefreshFrequency; f > 0 {
		every = min(every, f)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		_ = l.client.RefreshMetadata(topics...) // the next time, then
		for _, topic := range topics {
			partitions, err := l.client.Partitions(topic)
			if err != nil {
				continue // a fault that its readers find, too
			}
			for _, p := range partitions {
				at := place{topic, p}
				if !known[at] {
					known[at] = true
					l.running.Go(func() { l.follow(ctx, at, l.reclaim(ctx, at)) })
				}
			}
		}
	}
}

// close stops reading. It waits as long as sarama does where a broker hangs.
func (l *listener) close() error {
	l.stop()
	l.running.Wait()
	return errors.Join(l.consumer.Close(), l.client.Close())
}
