package witness

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Feed writes records to a topic for a stage to pass on: key k, value k:n with
// n counting up for each key. It returns when all are acknowledged.
type Feed struct {
	Brokers []string
	Topic   string
	Keys    int

	client *kgo.Client
	sent   int
}

// Open gets the feed ready, as its first Send does too. Who breaks brokers opens
// it before: that it gets its producer's id is the one thing that franz-go
// gives up when a broker goes away.
func (f *Feed) Open(ctx context.Context) error {
	if f.client != nil {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(f.Brokers...), kgo.DefaultProduceTopic(f.Topic))
	if err != nil {
		return fmt.Errorf("witness: feed %s: %w", f.Topic, err)
	}
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return fmt.Errorf("witness: feed %s: %w", f.Topic, err)
	}
	f.client = client
	return nil
}

// Send writes n more records. What it could not write counts as not sent.
func (f *Feed) Send(ctx context.Context, n int) error {
	if err := f.Open(ctx); err != nil {
		return err
	}
	recs := make([]*kgo.Record, n)
	for i := range recs {
		number := f.sent + i
		key := number % f.Keys
		recs[i] = &kgo.Record{Key: strconv.AppendInt(nil, int64(key), 10), Value: fmt.Appendf(nil, "%d:%d", key, number/f.Keys)}
	}
	if err := f.client.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		return fmt.Errorf("witness: feed %s: %w", f.Topic, err)
	}
	f.sent += n
	return nil
}

// Sent is how many records were acknowledged.
func (f *Feed) Sent() int { return f.sent }

// Close ends the feed.
func (f *Feed) Close() {
	if f.client != nil {
		f.client.Close()
	}
}

// Verdict is what became of the records of a Feed.
type Verdict struct {
	Sent       int
	Lost       int // never came out
	Duplicated int // appearances after the first
	Reordered  int // first appearances behind a later one of their key
	Foreign    int // never went in
}

// Judge compares what a topic holds for a read_committed reader with what was
// fed, over all the topics of out. It also returns how often each value came
// out.
func Judge(ctx context.Context, f *Feed, out ...string) (Verdict, map[string]int, error) {
	v := Verdict{Sent: f.sent}
	seen := make(map[string]int)
	latest := make(map[string]int)
	for _, topic := range out {
		recs, err := Read(ctx, f.Brokers, topic)
		if err != nil {
			return v, nil, err
		}
		for _, r := range recs {
			value := string(r.Value)
			key, number, _ := strings.Cut(value, ":")
			k, kerr := strconv.Atoi(key)
			n, nerr := strconv.Atoi(number)
			if kerr != nil || nerr != nil || n*f.Keys+k >= f.sent || string(r.Key) != key {
				v.Foreign++
				continue
			}
			if seen[value]++; seen[value] > 1 {
				v.Duplicated++
				continue
			}
			if last, ok := latest[key]; ok && n < last {
				v.Reordered++
			}
			latest[key] = max(latest[key], n)
		}
	}
	v.Lost = v.Sent - len(seen)
	return v, seen, nil
}

// Line is how a scenario reports.
func (v Verdict) Line(scenario string, faults int, took time.Duration) string {
	return fmt.Sprintf("scenario=%s sent=%d lost=%d duplicated=%d reordered=%d faults=%d seconds=%.1f",
		scenario, v.Sent, v.Lost, v.Duplicated, v.Reordered, faults, took.Seconds())
}
