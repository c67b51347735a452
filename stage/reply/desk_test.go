package reply_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/link"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
	"github.com/millrace-go/millrace/stage/reply"
)

// The topics of all tests. Questions and answers have several partitions.
const (
	dead       = "questions.dead"
	partitions = 3
)

func questions() stage.Topic[string] {
	return stage.Topic[string]{Name: "questions", Codec: stage.String()}
}

func answers() stage.Topic[string] {
	return stage.Topic[string]{Name: "answers", Codec: stage.String()}
}

type asker = reply.Asker[string, string]

// desk is an asker, its way to the broker, and the broker, where a test plays
// the stages.
type desk struct {
	*kafkatest.Broker
	link    *link.Link
	refresh time.Duration // of the asker's metadata; 0: sarama's default
	asker   *asker
	worked  int
}

// open is a desk with the dead letters read, and no other options than o.
func open(t *testing.T, o reply.Options) *desk {
	t.Helper()
	d := &desk{Broker: kafkatest.Start(t, dead), link: &link.Link{}}
	for _, topic := range []string{questions().Name, answers().Name} {
		if err := d.CreateTopic(topic, partitions); err != nil {
			t.Fatal(err)
		}
	}
	o.DeadLetters = []string{dead}
	d.asker = d.dial(t, o)
	return d
}

// cluster is the broker as the asker sees it.
func (d *desk) cluster() *kafka.Cluster {
	c := d.Cluster()
	c.Config = func(cfg *sarama.Config) {
		cfg.Net.Proxy.Enable, cfg.Net.Proxy.Dialer = true, d.link
		cfg.Metadata.RefreshFrequency = cmp.Or(d.refresh, cfg.Metadata.RefreshFrequency)
	}
	return c
}

// dial is another asker on the same topics.
func (d *desk) dial(t *testing.T, o reply.Options) *asker {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	a, err := reply.Dial(t.Context(), d.cluster(), questions(), answers(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(ended()); err != nil {
			t.Error(err)
		}
	})
	return a
}

// ended is a context that has.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// alarm is a context whose deadline comes when it rings.
type alarm struct {
	context.Context
	at   time.Time
	done chan struct{}
}

// soon has a deadline that is over already for who reads it.
func soon(ctx context.Context) *alarm { return &alarm{ctx, time.Now(), make(chan struct{})} }

func (a *alarm) ring()                       { close(a.done) }
func (a *alarm) Deadline() (time.Time, bool) { return a.at, true }
func (a *alarm) Done() <-chan struct{}       { return a.done }

func (a *alarm) Err() error {
	select {
	case <-a.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// asked is what came of a question.
type asked struct {
	answer string
	err    error
}

// ask asks in the background.
func (d *desk) ask(ctx context.Context, text string) <-chan asked {
	done := make(chan asked, 1)
	go func() {
		answer, err := d.asker.Ask(ctx, text)
		done <- asked{answer, err}
	}()
	return done
}

// find waits for the question with that text.
func (d *desk) find(t *testing.T, text string) stage.Raw {
	t.Helper()
	for n := 1; ; n++ {
		all := d.Consume(t, questions().Name, n)
		if i := slices.IndexFunc(all, func(r stage.Raw) bool { return string(r.Value) == text }); i >= 0 {
			return all[i]
		}
		n = len(all)
	}
}

// answerTo is the record that a stage would write for a question.
func answerTo(q stage.Raw, text string) stage.Raw {
	return stage.Raw{Key: q.Key, Value: []byte(text), Headers: q.Headers}
}

// works asks and answers one more question: what was before has broken nothing.
func (d *desk) works(t *testing.T) {
	t.Helper()
	d.worked++
	text := fmt.Sprintf("one more (%d)?", d.worked)
	done := d.ask(t.Context(), text)
	d.Produce(t, answers().Name, answerTo(d.find(t, text), "one more!"))
	if got := <-done; got.err != nil || got.answer != "one more!" {
		t.Errorf("one more question got %+v", got)
	}
}

// await waits for counts that come in their own time.
func (d *desk) await(t *testing.T, what string, done func(reply.Stats) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(d.asker.Stats()); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s after a minute: %+v", what, d.asker.Stats())
		}
	}
}

// timeout fails the test unless the error is a TimeoutError.
func timeout(t *testing.T, err error) *reply.TimeoutError {
	t.Helper()
	e, ok := errors.AsType[*reply.TimeoutError](err)
	if !ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want a TimeoutError", err)
	}
	return e
}

func header(key, value string) stage.Header { return stage.Header{Key: key, Value: []byte(value)} }
