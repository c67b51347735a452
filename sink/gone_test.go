package sink_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// TestSinkTopicIsDeleted in mid-run: no record is to blame, so that none is a
// dead letter; the stage stops and names the topic.
func TestSinkTopicIsDeleted(t *testing.T) { deleteSinkTopic(t, stage.AtLeastOnce) }

func deleteSinkTopic(t *testing.T, d stage.Delivery) {
	b := kafkatest.Start(t, "in", "out", "dead")
	b.Produce(t, "in", stage.Raw{Value: []byte("0")})
	c := b.Cluster()
	s := &stage.Stage[string, string]{
		Source:      source.Kafka(c, topic("in"), "group"),
		Transform:   stage.Map(same[string]),
		Sink:        sink.Kafka(c, topic("out")),
		DeadLetters: sink.DeadLetters(c, "dead"),
		Delivery:    d,
		Logger:      quiet,
	}
	if d == stage.ExactlyOnce {
		s.TransactionalID = "gone"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- stage.Run(ctx, s) }()
	b.Await(t, "out", 1)
	for committed := int64(0); committed < 1; time.Sleep(10 * time.Millisecond) {
		committed, _ = b.Committed(t, "group", "in", 0)
	}
	if err := b.DeleteTopic("out"); err != nil {
		t.Fatal(err)
	}
	recs := make([]stage.Raw, 500)
	for i := range recs {
		recs[i].Value = []byte("lost?")
	}
	b.Produce(t, "in", recs...)
	err := <-failed
	if err == nil || !errors.Is(err, sarama.ErrUnknownTopicOrPartition) || !strings.Contains(err.Error(), `topic "out" does not exist any more`) {
		t.Errorf("%v", err)
	}
	if n := b.End(t, "dead"); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	if at, _ := b.Committed(t, "group", "in", 0); at > 2 { // a transaction's marker
		t.Errorf("committed %d, though nothing was written", at)
	}
}

// TestRecordsChooseTopicsThatDoNotExist: each is a dead letter, soon, and
// holds up nobody.
func TestRecordsChooseTopicsThatDoNotExist(t *testing.T) { chooseTopics(t, stage.AtLeastOnce) }

func chooseTopics(t *testing.T, d stage.Delivery) {
	b := kafkatest.Start(t, "in", "out", "dead")
	recs := make([]stage.Raw, 300)
	for i := range recs {
		recs[i].Value = []byte("out")
		if i%3 == 0 {
			recs[i].Value = []byte("nowhere")
		}
	}
	b.Produce(t, "in", recs...)
	c := b.Cluster()
	s := &stage.Stage[string, string]{
		Source:      source.Kafka(c, topic("in"), "group", source.UntilEnd()),
		Transform:   stage.Map(same[string]),
		Sink:        sink.Kafka(c, topic(""), sink.ChooseTopic(func(v string, _ *stage.Raw) string { return v })),
		DeadLetters: sink.DeadLetters(c, "dead"),
		Delivery:    d,
		Logger:      quiet,
	}
	if d == stage.ExactlyOnce {
		s.TransactionalID = "choose"
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := stage.Run(ctx, s); err != nil || ctx.Err() != nil {
		t.Fatal(err, ctx.Err())
	}
	if out, dead := len(b.Consume(t, "out", 200)), len(b.Consume(t, "dead", 100)); out != 200 || dead != 100 {
		t.Errorf("%d written, %d dead letters; want 200 and 100", out, dead)
	}
}
