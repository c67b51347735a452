package reply_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/link"
	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/reply"
)

// serve answers all questions by a stage, as long as the test: "bad" ones fail.
func (d *desk) serve(t *testing.T, deadLetters stage.Sink[stage.DeadLetter]) {
	t.Helper()
	c := d.Cluster()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		err := stage.Run(ctx, &stage.Stage[string, string]{
			Name:   "answer",
			Source: source.Kafka(c, questions(), "answer"),
			Transform: stage.Map(func(_ context.Context, q string) (string, error) {
				if strings.HasPrefix(q, "bad") {
					return "", stage.Permanent(errors.New("a bad question"))
				}
				return "re: " + q, nil
			}),
			Sink:        sink.Kafka(c, answers(), sink.ChooseTopic(reply.Topic[string])),
			DeadLetters: deadLetters,
			Logger:      slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

// Through a real stage, whose failures come back by both ways at once.
func TestThroughAStage(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	d.serve(t, sink.Tee(
		sink.DeadLetters(d.Cluster(), dead),
		sink.DeadLettersAs(d.Cluster(), answers().Name, reply.ErrorHeaders)))
	const n, bad = 200, 20
	var asking sync.WaitGroup
	for i := range n {
		asking.Go(func() {
			text := fmt.Sprintf("question %d", i)
			if i < bad {
				text = "bad " + text
			}
			answer, err := d.asker.Ask(t.Context(), text)
			failed, ok := errors.AsType[*reply.FailedError](err)
			switch {
			case i < bad && (!ok || failed.Stage != "answer" || failed.Reason != "a bad question"):
				t.Errorf("%q got %q, %v", text, answer, err)
			case i >= bad && (err != nil || answer != "re: "+text):
				t.Errorf("%q got %q, %v", text, answer, err)
			}
		})
	}
	asking.Wait()
	want := reply.Stats{Asked: n, Written: n, Answered: n - bad, Failed: bad, Unclaimed: bad}
	d.await(t, "second tellings of failures", func(s reply.Stats) bool { return s == want })
}

// All connections end, again and again: no question is lost, or gets another's
// answer.
func TestConnectionsAreCut(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	d.serve(t, sink.DeadLetters(d.Cluster(), dead))
	const askers, each, cuts = 10, 20, 8
	var asking sync.WaitGroup
	for i := range askers {
		asking.Go(func() {
			for j := range each {
				text := fmt.Sprintf("question %d of %d", j, i)
				if answer, err := d.asker.Ask(t.Context(), text); err != nil || answer != "re: "+text {
					t.Errorf("%q got %q, %v", text, answer, err)
				}
			}
		})
	}
	for cut := range uint64(cuts) {
		d.await(t, "answers between the cuts", func(s reply.Stats) bool { return s.Answered >= (cut+1)*askers*each/(cuts+2) })
		for d.link.Cut() == 0 { // it connects just now
			time.Sleep(time.Millisecond)
		}
	}
	asking.Wait()
	want := reply.Stats{Asked: askers * each, Written: askers * each, Answered: askers * each}
	d.await(t, "acknowledgements", func(s reply.Stats) bool { return s == want })
}

// The answer comes while nobody is connected to hear it.
func TestAnsweredWhileCut(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	done := d.ask(t.Context(), "who?")
	q := d.find(t, "who?")
	resume := d.link.Hang()
	d.Produce(t, answers().Name, answerTo(q, "me"))
	d.link.Cut()
	resume()
	if got := <-done; got.err != nil || got.answer != "me" {
		t.Errorf("got %+v", got)
	}
}

// The broker's word that it has a question is lost; it is written again, but
// is there once.
func TestAcknowledgementIsCut(t *testing.T) {
	t.Parallel()
	const produce = 0 // the kind of request
	d := open(t, reply.Options{})
	loss := d.link.Lose(produce, link.ReplyCut)
	done := d.ask(t.Context(), "who?")
	<-loss.Happened()
	q := d.find(t, "who?")
	d.Produce(t, answers().Name, answerTo(q, "me"))
	if got := <-done; got.err != nil || got.answer != "me" {
		t.Errorf("got %+v", got)
	}
	d.works(t)
	if n := d.End(t, questions().Name); n != 2 {
		t.Errorf("%d questions on the topic, want 2", n)
	}
}

// With the broker silent, questions end at their deadlines, and those that
// can't be written hold their room: memory stays bounded.
func TestRoomWhileTheBrokerHangs(t *testing.T) {
	t.Parallel()
	const room = 3
	d := open(t, reply.Options{MaxWaiting: room})
	d.works(t)
	resume := d.link.Hang()
	short := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := d.asker.Ask(ctx, "anybody?")
		return err
	}
	for range room {
		if e := timeout(t, short()); e.Written || e.ID == "" || !strings.Contains(e.Error(), `is not on topic "questions" yet`) {
			t.Errorf("%v", e)
		}
	}
	for range 2 {
		if e := timeout(t, short()); e.ID != "" || !strings.Contains(e.Error(), "waited in vain for room") {
			t.Errorf("%v", e)
		}
	}
	if s := d.asker.Stats(); s.Waiting != 0 || s.Asked != room+1 || s.GivenUp != room {
		t.Errorf("%+v", s)
	}
	resume()
	d.works(t) // there is room again
}

// A question that found no room takes that of one that was answered.
func TestRoomIsMade(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{MaxWaiting: 1})
	first := d.ask(t.Context(), "first")
	q := d.find(t, "first")
	second := d.ask(t.Context(), "second")
	d.Produce(t, answers().Name, answerTo(q, "one"))
	if got := <-first; got.answer != "one" {
		t.Errorf("got %+v", got)
	}
	d.Produce(t, answers().Name, answerTo(d.find(t, "second"), "two"))
	if got := <-second; got.answer != "two" {
		t.Errorf("got %+v", got)
	}
}

// The connections of who reads the answers end for good, after the question is
// written.
func TestAnswersCannotBeRead(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	ctx := soon(t.Context())
	done := d.ask(ctx, "anybody?")
	d.await(t, "acknowledgement", func(s reply.Stats) bool { return s.Written == 1 })
	d.link.Kill()
	d.await(t, "fault", func(reply.Stats) bool { return d.asker.Fault() != nil })
	ctx.ring()
	if e := timeout(t, (<-done).err); e.Reading == nil || !strings.Contains(e.Error(), "could not always be read: topic ") {
		t.Errorf("%+v", e)
	}
	_ = d.asker.Close(ended()) // it may tell of the broken connections
}

// The topic of answers is created anew: the place where it was read up to does
// not exist any more.
func TestTopicOfAnswersIsCreatedAnew(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	for i := range 10 {
		text := fmt.Sprint("question ", i)
		done := d.ask(t.Context(), text)
		d.Produce(t, answers().Name, answerTo(d.find(t, text), "yes"))
		if got := <-done; got.err != nil {
			t.Fatal(got.err)
		}
	}
	if err := errors.Join(d.DeleteTopic(answers().Name), d.CreateTopic(answers().Name, partitions)); err != nil {
		t.Fatal(err)
	}
	d.works(t)
}

// A topic of answers that grows is read whole.
func TestTopicOfAnswersGrows(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	d.refresh = 50 * time.Millisecond
	d.asker = d.dial(t, reply.Options{})
	client, err := d.Cluster().Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	const many = 5 * partitions
	if err := admin.CreatePartitions(answers().Name, many, nil, false); err != nil {
		t.Fatal(err)
	}
	const n = 50
	var all []<-chan asked
	for i := range n {
		all = append(all, d.ask(t.Context(), fmt.Sprint("question ", i)))
	}
	var recs []stage.Raw
	for _, q := range d.Consume(t, questions().Name, n) {
		recs = append(recs, answerTo(q, "yes"))
	}
	d.Produce(t, answers().Name, recs...)
	for _, done := range all {
		if got := <-done; got.err != nil || got.answer != "yes" {
			t.Errorf("got %+v", got)
		}
	}
	used := 0
	for _, p := range d.Fake().PartitionInfos(answers().Name) {
		if p.HighWatermark > 0 {
			used++
		}
	}
	if used <= partitions {
		t.Errorf("answers on %d partitions: none was new", used)
	}
}
