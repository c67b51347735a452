package reply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
	"github.com/millrace-go/millrace/examples/tweets/internal/reply"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// desk is an asker, and the broker where a test plays the stages.
type desk struct {
	*kafkatest.Broker
	topics flow.Topics
	asker  *reply.Asker
}

func open(t *testing.T) desk {
	t.Helper()
	d := desk{Broker: kafkatest.Start(t), topics: flow.TopicsOf("test")}
	if err := d.topics.Create(t.Context(), d.Cluster()); err != nil {
		t.Fatal(err)
	}
	asker, err := reply.Dial(t.Context(), d.Cluster(), d.topics)
	if err != nil {
		t.Fatal(err)
	}
	d.asker = asker
	t.Cleanup(func() {
		if err := asker.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// asked is what came of a question.
type asked struct {
	answer flow.Answer
	err    error
}

// ask asks in the background.
func (d desk) ask(ctx context.Context, text string) <-chan asked {
	done := make(chan asked, 1)
	go func() {
		answer, err := d.asker.Ask(ctx, text)
		done <- asked{answer, err}
	}()
	return done
}

// answerTo is the record that a stage would write for a question.
func (d desk) answerTo(t *testing.T, question stage.Raw, text string) stage.Raw {
	t.Helper()
	value, err := d.topics.Answers.Codec.Encode(flow.Answer{Question: text, MS: flow.Times{Embed: 3, Nearest: 2}})
	if err != nil {
		t.Fatal(err)
	}
	return stage.Raw{Key: question.Key, Value: value, Headers: question.Headers}
}

// works asks and answers one more question, after `before` others.
func (d desk) works(t *testing.T, before int) {
	t.Helper()
	done := d.ask(t.Context(), "one more?")
	questions := d.Consume(t, d.topics.Questions.Name, before+1)
	i := slices.IndexFunc(questions, func(r stage.Raw) bool { return string(r.Value) == "one more?" })
	d.Produce(t, d.topics.Answers.Name, d.answerTo(t, questions[i], "one more!"))
	if got := <-done; got.err != nil || got.answer.Question != "one more!" {
		t.Errorf("one more question got %+v", got)
	}
}

func TestAnswersFindTheirAskers(t *testing.T) {
	t.Parallel()
	d := open(t)
	const n = 200
	var askers sync.WaitGroup
	for i := range n {
		askers.Go(func() {
			text := fmt.Sprintf("question %d", i)
			answer, err := d.asker.Ask(t.Context(), text)
			if err != nil || answer.Question != "re: "+text {
				t.Errorf("%q got %+v, %v", text, answer, err)
			}
			if answer.MS.Embed != 3 || answer.MS.Nearest != 2 || answer.MS.Total <= 0 {
				t.Errorf("%q took %+v", text, answer.MS)
			}
		})
	}
	questions := d.Consume(t, d.topics.Questions.Name, n)
	ids := map[string]bool{}
	for _, q := range questions {
		id, _ := q.Header(flow.HeaderID)
		text, _ := q.Header(flow.HeaderQuestion)
		if string(text) != string(q.Value) || string(id) != string(q.Key) || q.Time.IsZero() {
			t.Errorf("question %+v: its headers do not fit", q)
		}
		ids[string(id)] = true
	}
	if len(questions) != n || len(ids) != n {
		t.Errorf("%d questions with %d ids, want %d", len(questions), len(ids), n)
	}
	slices.Reverse(questions)
	var answers []stage.Raw
	for _, q := range questions {
		answers = append(answers, d.answerTo(t, q, "re: "+string(q.Value)))
	}
	d.Produce(t, d.topics.Answers.Name, answers...)
	askers.Wait()
}

// At least once means that an answer may come twice.
func TestTheFirstAnswerCounts(t *testing.T) {
	t.Parallel()
	d := open(t)
	done := d.ask(t.Context(), "who?")
	q := d.Consume(t, d.topics.Questions.Name, 1)[0]
	d.Produce(t, d.topics.Answers.Name, d.answerTo(t, q, "first"), d.answerTo(t, q, "second"), d.answerTo(t, q, "third"))
	if got := <-done; got.err != nil || got.answer.Question != "first" {
		t.Errorf("got %+v, want the first answer", got)
	}
	d.Produce(t, d.topics.Dead, stage.Raw{Headers: q.Headers}) // another topic: in no order with the answers
	d.works(t, 1)
}

func TestAnswersForNobodyAreDropped(t *testing.T) {
	t.Parallel()
	d := open(t)
	done := d.ask(t.Context(), "who?")
	q := d.Consume(t, d.topics.Questions.Name, 1)[0]
	other := stage.Raw{Key: []byte("x"), Headers: []stage.Header{{Key: flow.HeaderID, Value: []byte("another prompt's")}}}
	d.Produce(t, d.topics.Answers.Name,
		d.answerTo(t, other, "for another prompt"),
		d.answerTo(t, stage.Raw{}, "for nobody"),
		stage.Raw{Value: []byte("no JSON, for nobody")},
		stage.Raw{},
		d.answerTo(t, q, "for me"))
	d.Produce(t, d.topics.Dead, other, stage.Raw{})
	if got := <-done; got.err != nil || got.answer.Question != "for me" {
		t.Errorf("got %+v, want the answer for this question", got)
	}
	d.works(t, 1)
}

func TestUnreadableAnswer(t *testing.T) {
	t.Parallel()
	d := open(t)
	done := d.ask(t.Context(), "who?")
	q := d.Consume(t, d.topics.Questions.Name, 1)[0]
	d.Produce(t, d.topics.Answers.Name, stage.Raw{Value: []byte("no JSON"), Headers: q.Headers})
	if got := <-done; got.err == nil || !strings.Contains(got.err.Error(), "the answer could not be read") {
		t.Errorf("got %+v", got)
	}
	d.works(t, 1)
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	got := <-d.ask(ctx, "anybody?")
	if got.err == nil || !strings.Contains(got.err.Error(), "no answer after") || !strings.Contains(got.err.Error(), "do the embed and the nearest stage run?") {
		t.Errorf("got %+v", got)
	}
	// Its answer comes after all, and its dead letter too.
	q := d.Consume(t, d.topics.Questions.Name, 1)[0]
	d.Produce(t, d.topics.Answers.Name, d.answerTo(t, q, "late"))
	d.Produce(t, d.topics.Dead, stage.Raw{Headers: q.Headers})
	d.works(t, 1)
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := d.ask(ctx, "anybody?")
	d.Await(t, d.topics.Questions.Name, 1)
	cancel()
	if got := <-done; !errors.Is(got.err, context.Canceled) {
		t.Errorf("got %+v", got)
	}
	d.works(t, 1)
}

func TestDeadLetter(t *testing.T) {
	t.Parallel()
	d := open(t)
	done := d.ask(t.Context(), "")
	q := d.Consume(t, d.topics.Questions.Name, 1)[0]
	dead := stage.Raw{Key: q.Key, Value: q.Value, Headers: append(q.Headers,
		stage.Header{Key: "__connect.errors.connector.name", Value: []byte("embed")},
		stage.Header{Key: "__connect.errors.exception.message", Value: []byte("the question is empty")})}
	d.Produce(t, d.topics.Dead, dead)
	got := <-done
	failed, ok := errors.AsType[*reply.FailedError](got.err)
	if !ok || *failed != (reply.FailedError{Stage: "embed", Reason: "the question is empty"}) {
		t.Fatalf("got %+v", got)
	}
	if text := failed.Error(); !strings.Contains(text, "embed stage") || !strings.Contains(text, "the question is empty") {
		t.Errorf("its text is %q", text)
	}
	d.works(t, 1)
}

func TestClose(t *testing.T) {
	t.Parallel()
	d := open(t)
	asker, err := reply.Dial(t.Context(), d.Cluster(), d.topics)
	if err != nil {
		t.Fatal(err)
	}
	d.asker = asker
	waiting := d.ask(t.Context(), "still there?")
	d.Await(t, d.topics.Questions.Name, 1)
	if err := asker.Close(); err != nil {
		t.Error(err)
	}
	if got := <-waiting; !errors.Is(got.err, reply.ErrClosed) {
		t.Errorf("who waited got %+v", got)
	}
	if _, err := asker.Ask(t.Context(), "hello?"); !errors.Is(err, reply.ErrClosed) {
		t.Errorf("asking after it: %v", err)
	}
}

// Closing while questions are on their way out must neither panic nor hang.
func TestCloseAmidQuestions(t *testing.T) {
	t.Parallel()
	d := open(t)
	for range 5 {
		asker, err := reply.Dial(t.Context(), d.Cluster(), d.topics)
		if err != nil {
			t.Fatal(err)
		}
		var askers sync.WaitGroup
		begun := make(chan struct{}, 1)
		for range 8 {
			askers.Go(func() {
				for {
					select {
					case begun <- struct{}{}:
					default:
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
					_, err := asker.Ask(ctx, "hello?")
					cancel()
					if errors.Is(err, reply.ErrClosed) {
						return
					}
				}
			})
		}
		<-begun
		if err := asker.Close(); err != nil {
			t.Error(err)
		}
		askers.Wait()
	}
}

// A broker that goes away must not keep a question longer than its deadline.
func TestDeadlineWithoutABroker(t *testing.T) {
	t.Parallel()
	b := kafkatest.Start(t)
	topics := flow.TopicsOf("test")
	if err := topics.Create(t.Context(), b.Cluster()); err != nil {
		t.Fatal(err)
	}
	c := b.Cluster()
	c.Config = func(cfg *sarama.Config) { // so that Close ends soon
		cfg.Producer.Retry.Max = 2
		cfg.Metadata.Retry.Max = 10
	}
	asker, err := reply.Dial(t.Context(), c, topics)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := asker.Ask(ctx, "anybody?"); err == nil || !strings.Contains(err.Error(), "no answer after") {
		t.Errorf("error %v", err)
	}
	// Without a deadline, that it could not be sent is said in the end.
	if _, err := asker.Ask(t.Context(), "anybody?"); err == nil || !strings.Contains(err.Error(), "could not be sent") {
		t.Errorf("error %v", err)
	}
	_ = asker.Close() // the connections are broken, it may say so
}

func TestDialNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := kafkatest.Start(t)
	if _, err := reply.Dial(t.Context(), b.Cluster(), flow.TopicsOf("none")); err == nil || !strings.Contains(err.Error(), `"none.`) {
		t.Errorf("missing topics: %v", err)
	}
	nowhere := &kafka.Cluster{Brokers: []string{"127.0.0.1:1"}, StartTimeout: time.Millisecond}
	if _, err := reply.Dial(t.Context(), nowhere, flow.TopicsOf("test")); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("no broker: %v", err)
	}
}
