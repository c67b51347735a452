package reply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/reply"
)

// At least once means that an answer may come twice.
func TestTheFirstReplyCounts(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	done := d.ask(t.Context(), "who?")
	q := d.find(t, "who?")
	d.Produce(t, answers().Name, answerTo(q, "first"), answerTo(q, "second"), answerTo(q, "third"))
	if got := <-done; got.err != nil || got.answer != "first" {
		t.Errorf("got %+v, want the first answer", got)
	}
	d.Produce(t, dead, stage.Raw{Headers: q.Headers})
	d.await(t, "second replies", func(s reply.Stats) bool { return s.Unclaimed == 3 })
	if s := d.asker.Stats(); s.Answered != 1 || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
	d.works(t)
}

// A question that nobody answers says what to look at; its answer and its dead
// letter come after all, and are counted.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	ask := func(text string) (stage.Raw, *reply.TimeoutError) {
		t.Helper()
		written := d.asker.Stats().Written
		ctx := soon(t.Context())
		done := d.ask(ctx, text)
		q := d.find(t, text)
		d.await(t, "acknowledgement", func(s reply.Stats) bool { return s.Written > written })
		ctx.ring()
		return q, timeout(t, (<-done).err)
	}
	q, e := ask("anybody?")
	if e.ID != string(q.Key) || !e.Written || e.Late != 0 || e.Reading != nil {
		t.Errorf("%+v", e)
	}
	for _, want := range []string{"no answer after", `topic "questions"`, e.ID, `topic "answers"`, "do all stages", "dead letters"} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("no %q in %q", want, e.Error())
		}
	}
	d.Produce(t, answers().Name, answerTo(q, "late"))
	d.Produce(t, dead, stage.Raw{Headers: q.Headers})
	want := reply.Stats{Asked: 1, Written: 1, GivenUp: 1, Late: 2}
	d.await(t, "late replies", func(s reply.Stats) bool { return s == want })
	if _, e := ask("still nobody?"); e.Late != 2 || !strings.Contains(e.Error(), "2 answers came after their deadline") {
		t.Errorf("the next one: %v", e)
	}
	d.works(t)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{Timeout: 20 * time.Millisecond})
	_, err := d.asker.Ask(t.Context(), "anybody?")
	if e := timeout(t, err); e.After < 20*time.Millisecond {
		t.Errorf("%v", e)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{Timeout: reply.NoTimeout})
	ctx, cancel := context.WithCancel(t.Context())
	done := d.ask(ctx, "anybody?")
	q := d.find(t, "anybody?")
	if at, ok := reply.Deadline(&q); ok {
		t.Errorf("deadline %v, though there is none", at)
	}
	cancel()
	if got := <-done; !errors.Is(got.err, context.Canceled) {
		t.Errorf("got %+v", got)
	}
	d.Produce(t, answers().Name, answerTo(q, "for nobody"))
	want := reply.Stats{Asked: 1, Written: 1, GivenUp: 1, Unclaimed: 1}
	d.await(t, "answer", func(s reply.Stats) bool { return s == want })
	if _, err := d.asker.Ask(ctx, "who?"); !errors.Is(err, context.Canceled) || d.asker.Stats() != want {
		t.Errorf("asking with an ended context: %v, %+v", err, d.asker.Stats())
	}
	d.works(t)
}

// Questions that failed come back with the reason, from dead letters of all
// kinds and as error replies.
func TestFailures(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	about := stage.DeadLetter{
		Record: stage.Raw{Topic: "vectors", Partition: 2, Offset: 7}, Stage: "embed",
		Step: stage.StepTransform, Err: errors.New("the question is empty"), Attempts: 3,
	}
	long := about
	long.Err = errors.New(strings.Repeat("ä", 1000)) // 2 bytes each
	for name, c := range map[string]struct {
		topic   string
		headers []stage.Header
		want    reply.FailedError
	}{
		"as Connect does":      {dead, sink.ConnectHeaders(about), reply.FailedError{Stage: "embed", Step: stage.StepTransform, Reason: "the question is empty"}},
		"as Spring does":       {dead, sink.SpringHeaders(about), reply.FailedError{Reason: "the question is empty"}},
		"without a reason":     {dead, nil, reply.FailedError{Reason: "a dead letter that does not say why"}},
		"with a broken reason": {dead, []stage.Header{header("__connect.errors.topic", "vectors"), header("__connect.errors.offset", "x")}, reply.FailedError{Reason: "a dead letter that does not say why"}},
		"as an error reply":    {answers().Name, reply.ErrorHeaders(about), reply.FailedError{Stage: "embed", Reason: "the question is empty"}},
		"with a long reason":   {answers().Name, reply.ErrorHeaders(long), reply.FailedError{Stage: "embed", Reason: strings.Repeat("ä", 512)}},
		"by a program":         {answers().Name, []stage.Header{header(reply.HeaderError, "not today")}, reply.FailedError{Reason: "not today"}},
	} {
		done := d.ask(t.Context(), name)
		q := d.find(t, name)
		r := answerTo(q, "no answer")
		r.Headers = append(r.Headers, c.headers...)
		d.Produce(t, c.topic, r)
		got := <-done
		failed, ok := errors.AsType[*reply.FailedError](got.err)
		if !ok {
			t.Errorf("%s: got %+v", name, got)
			continue
		}
		c.want.ID, c.want.Topic = string(q.Key), c.topic
		reason := failed.Reason
		failed.Reason = c.want.Reason
		if *failed != c.want || !strings.HasPrefix(reason, c.want.Reason) || len(reason) > 1024 {
			t.Errorf("%s: got %+v with reason %q, want %+v", name, *failed, reason, c.want)
		}
		for _, part := range []string{"gave the question up", c.want.Reason, string(q.Key), c.topic, c.want.Stage} {
			if !strings.Contains(got.err.Error(), part) {
				t.Errorf("%s: no %q in %q", name, part, got.err)
			}
		}
	}
	if s := d.asker.Stats(); s.Failed != 7 || s.Answered != 0 {
		t.Errorf("%+v", s)
	}
	d.works(t)
}

// An answer may carry the headers of an earlier failure: its question was
// replayed from the dead letters.
func TestAnswerToAReplayedQuestion(t *testing.T) {
	t.Parallel()
	d := open(t, reply.Options{})
	done := d.ask(t.Context(), "who?")
	r := answerTo(d.find(t, "who?"), "me")
	r.Headers = append(r.Headers, sink.ConnectHeaders(stage.DeadLetter{Err: errors.New("once")})...)
	d.Produce(t, answers().Name, r)
	if got := <-done; got.err != nil || got.answer != "me" {
		t.Errorf("got %+v", got)
	}
}

func TestTimeoutErrors(t *testing.T) {
	t.Parallel()
	away := errors.New("connection refused")
	for want, e := range map[string]*reply.TimeoutError{
		"waited in vain for room among 10 others": {Waiting: 10},
		`is not on topic "q" yet`:                 {ID: "x-1", Questions: "q"},
		"could not always be read: connection":    {ID: "x-1", Written: true, Reading: away},
		"with header correlation-id: x-1":         {ID: "x-1", Written: true},
	} {
		e.After = 1500 * time.Millisecond
		if text := fmt.Sprint(e); !strings.Contains(text, want) || !strings.HasPrefix(text, "reply: no answer after 1.5s: ") {
			t.Errorf("%q, want %q", text, want)
		}
		if !errors.Is(e, context.DeadlineExceeded) || errors.Is(e, away) != (e.Reading != nil) {
			t.Errorf("%v wraps %v", e, e.Unwrap())
		}
	}
}
