package reply_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/reply"
)

// A thousand wait at once, each in its own goroutine and in no other; their
// answers come in no order, some of them twice, amid those of others. Not
// parallel: it counts goroutines.
func TestAThousandAtOnce(t *testing.T) {
	const n = 1000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	d := open(t, reply.Options{})
	before := runtime.NumGoroutine()
	var asking sync.WaitGroup
	for i := range n {
		asking.Go(func() {
			text := fmt.Sprintf("question %d", i)
			answer, err := d.asker.Ask(t.Context(), text)
			if err != nil || answer != "re: "+text {
				t.Errorf("%q got %q, %v", text, answer, err)
			}
		})
	}
	qs := d.Consume(t, questions().Name, n)
	const few = 100 // sarama's, and the test's own
	if got := runtime.NumGoroutine() - before; got > n+few {
		t.Errorf("%d goroutines for %d questions", got, n)
	}
	if s := d.asker.Stats(); s.Waiting != n || s.Asked != n {
		t.Errorf("with all waiting: %+v", s)
	}
	var all []stage.Raw
	second, others := uint64(0), uint64(0)
	ids := map[string]bool{}
	for _, q := range qs {
		id, _ := q.Header(reply.HeaderID)
		ids[string(id)] = true
		all = append(all, answerTo(q, "re: "+string(q.Value)))
		if rng.IntN(4) == 0 {
			second++
			all = append(all, all[len(all)-1])
		}
		if rng.IntN(4) == 0 {
			others++
			all = append(all, stage.Raw{Key: q.Key, Headers: []stage.Header{header(reply.HeaderID, "another-"+string(id))}})
		}
	}
	if len(ids) != n || len(qs) != n {
		t.Errorf("%d questions with %d ids, want %d", len(qs), len(ids), n)
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	d.Produce(t, answers().Name, all...)
	asking.Wait()
	want := reply.Stats{Asked: n, Written: n, Answered: n, Unclaimed: second, Foreign: others}
	d.await(t, "answers", func(s reply.Stats) bool { return s == want })
}

func TestQuestionsAndTheirHeaders(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{Timeout: time.Hour})
	begun := time.Now()
	done := make(chan error, 1)
	go func() {
		_, err := d.asker.Ask(t.Context(), "who?", header("traceparent", "00-1"), header("traceparent", "00-2"))
		done <- err
	}()
	q := d.find(t, "who?")
	get := func(key string) string { v, _ := q.Header(key); return string(v) }
	if get(reply.HeaderID) != string(q.Key) || get("traceparent") != "00-2" || q.Time.Before(begun.Truncate(time.Millisecond)) {
		t.Errorf("question %+v", q)
	}
	if got := reply.Topic("any answer", &q); got != answers().Name {
		t.Errorf("its answer is wanted on topic %q", got)
	}
	if got, ok := reply.Deadline(&q); !ok || got.Before(begun.Add(time.Hour-time.Millisecond)) || got.After(time.Now().Add(time.Hour)) {
		t.Errorf("deadline %v, %v; asked at %v with an hour", got, ok, begun)
	}
	d.Produce(t, answers().Name, answerTo(q, "me"))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Several askers share the topic; each gets its own answers and no other.
func TestAskersShareATopic(t *testing.T) {
	t.Parallel()
	const askers, each = 4, 25
	d := open(t, reply.Options{})
	all := []*asker{d.asker}
	for len(all) < askers {
		all = append(all, d.dial(t, reply.Options{}))
	}
	var asking sync.WaitGroup
	for i, a := range all {
		for j := range each {
			asking.Go(func() {
				text := fmt.Sprintf("question %d of asker %d", j, i)
				answer, err := a.Ask(t.Context(), text)
				if err != nil || answer != "re: "+text {
					t.Errorf("%q got %q, %v", text, answer, err)
				}
			})
		}
	}
	var recs []stage.Raw
	for _, q := range d.Consume(t, questions().Name, askers*each) {
		recs = append(recs, answerTo(q, "re: "+string(q.Value)))
	}
	d.Produce(t, answers().Name, recs...)
	asking.Wait()
	for i, a := range all {
		d.asker = a
		want := reply.Stats{Asked: each, Written: each, Answered: each, Foreign: (askers - 1) * each}
		d.await(t, fmt.Sprintf("answers of the others at asker %d", i), func(s reply.Stats) bool { return s == want })
	}
}

// What is on the topic before the asker, or malformed, or another's, is passed
// over, and counted if it was read.
func TestForeignAndMalformedReplies(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	done := d.ask(t.Context(), "who?")
	q := d.find(t, "who?")
	id, _ := q.Header(reply.HeaderID)
	prefix, _, _ := strings.Cut(string(id), "-")
	strangers := []stage.Raw{
		{},
		{Value: []byte("no headers")},
		{Headers: []stage.Header{{Key: reply.HeaderID}}},
		{Headers: []stage.Header{header(reply.HeaderID, "\xff\x00")}},
		{Headers: []stage.Header{header(reply.HeaderID, "another-1")}},
		{Headers: []stage.Header{header(reply.HeaderID, prefix)}}, // ours begin so, and go on
		{Headers: []stage.Header{header(reply.HeaderID, string(id)), header(reply.HeaderID, "another-1")}},
		{Headers: []stage.Header{header("CORRELATION-ID", string(id))}},
		{Headers: []stage.Header{header(reply.HeaderError, "for nobody")}},
	}
	d.Produce(t, answers().Name, strangers...)
	d.Produce(t, dead, strangers...)
	ours := []stage.Raw{
		{Headers: []stage.Header{header(reply.HeaderID, prefix+"-2000")}},
		{Headers: []stage.Header{header(reply.HeaderID, prefix+"-"), header(reply.HeaderDeadline, "soon")}},
	}
	d.Produce(t, answers().Name, ours...)
	want := reply.Stats{Waiting: 1, Asked: 1, Written: 1, Foreign: uint64(2 * len(strangers)), Unclaimed: uint64(len(ours))}
	d.await(t, "strangers", func(s reply.Stats) bool { return s == want })
	// Only the id is needed; other headers may be anything.
	d.Produce(t, answers().Name, stage.Raw{Value: []byte("me"), Headers: []stage.Header{
		header(reply.HeaderDeadline, "-1"), header("", ""), header(reply.HeaderID, string(id)),
	}})
	if got := <-done; got.err != nil || got.answer != "me" {
		t.Errorf("got %+v", got)
	}
	d.works(t)
}

func TestUnreadableAnswer(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	done := d.ask(t.Context(), "who?")
	q := d.find(t, "who?")
	d.Produce(t, answers().Name, answerTo(q, "\xff"))
	if got := <-done; got.err == nil || !strings.Contains(got.err.Error(), "can't be read") || !strings.Contains(got.err.Error(), string(q.Key)) {
		t.Errorf("got %+v", got)
	}
	d.works(t)
}

// An answer in a transaction that is undone never was one.
func TestUndoneAnswer(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	done := d.ask(t.Context(), "who?")
	q := d.find(t, "who?")
	stages, err := kgo.NewClient(kgo.SeedBrokers(d.Addrs()...), kgo.TransactionalID("stages"))
	if err != nil {
		t.Fatal(err)
	}
	defer stages.Close()
	if err := stages.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	wrong := &kgo.Record{Topic: answers().Name, Key: q.Key, Value: []byte("wrong"), Headers: []kgo.RecordHeader{{Key: reply.HeaderID, Value: q.Key}}}
	if err := errors.Join(stages.ProduceSync(t.Context(), wrong).FirstErr(), stages.EndTransaction(t.Context(), kgo.TryAbort)); err != nil {
		t.Fatal(err)
	}
	d.Produce(t, answers().Name, answerTo(q, "right"))
	if got := <-done; got.err != nil || got.answer != "right" {
		t.Errorf("got %+v", got)
	}
	if s := d.asker.Stats(); s.Answered != 1 || s.Unclaimed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestBadQuestions(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	if _, err := d.asker.Ask(t.Context(), strings.Repeat("long ", 1<<20)); err == nil || !strings.Contains(err.Error(), "could not be written") || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a question of 5 MB: %v", err)
	}
	numbers, err := reply.Dial(t.Context(), d.cluster(), stage.Topic[func()]{Name: questions().Name, Codec: stage.JSON[func()]()}, answers(), reply.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = numbers.Close(ended()) }()
	if _, err := numbers.Ask(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "encode the question") {
		t.Errorf("a question that is no JSON: %v", err)
	}
	if s := d.asker.Stats(); s.Failed != 1 || s.Asked != 1 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	d.works(t)
}

func TestDialNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	dial := func(c *kafka.Cluster, q, a stage.Topic[string], o reply.Options) error {
		o.Logger = slog.New(slog.DiscardHandler)
		_, err := reply.Dial(t.Context(), c, q, a, o)
		return err
	}
	nowhere := &kafka.Cluster{Brokers: []string{"127.0.0.1:1"}, StartTimeout: time.Millisecond}
	text := func(name string) stage.Topic[string] { return stage.Topic[string]{Name: name, Codec: stage.String()} }
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"no broker":         {dial(nowhere, questions(), answers(), reply.Options{}), []string{"127.0.0.1:1"}},
		"no topics":         {dial(d.cluster(), text("none"), text("nought"), reply.Options{DeadLetters: []string{"nil"}}), []string{`"none" does not exist`, `"nought" does not exist`, `"nil" does not exist`}},
		"nothing":           {dial(nil, stage.Topic[string]{}, stage.Topic[string]{}, reply.Options{Timeout: -2, MaxWaiting: -1}), []string{"no cluster", "questions: no topic", "questions: no Codec", "answers: no topic", "answers: no Codec", "Timeout", "MaxWaiting"}},
		"one topic":         {dial(d.cluster(), questions(), questions(), reply.Options{}), []string{`both on topic "questions"`}},
		"dead among others": {dial(d.cluster(), questions(), answers(), reply.Options{DeadLetters: []string{answers().Name, dead, dead, ""}}), []string{`topic "answers" is that of`, "is there twice", "no topic"}},
	} {
		for _, want := range c.want {
			if c.err == nil || !strings.Contains(c.err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, c.err, want)
			}
		}
	}
}

func TestAskerWithoutDial(t *testing.T) {
	t.Parallel()
	var a asker
	if _, err := a.Ask(t.Context(), "who?"); err == nil || !strings.Contains(err.Error(), "Dial") {
		t.Errorf("got %v", err)
	}
	if err := a.Close(context.Background()); err != nil || a.Stats() != (reply.Stats{}) {
		t.Errorf("close: %v, %+v", err, a.Stats())
	}
}
