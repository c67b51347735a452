package reply

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace-go/millrace/internal/preflight"
	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// client is an Asker without its types. One goroutine writes questions, some
// read answers; a question has none of its own.
type client struct {
	questions, answers string
	listener           *listener
	writer             stage.Writer

	waiting  *waiting
	number   atomic.Uint64      // of the last question
	room     chan struct{}      // a token a question
	outbox   chan *question     // takes as many as there is room for
	closing  chan struct{}      // closed: no room is worth waiting for
	sent     chan struct{}      // closed: the outbox is empty and closed
	failures map[string]failure // by topic: how it says that a question failed
	counters counters
}

// failure reads from a record why its question failed, if it did.
type failure func(id string, r *stage.Raw) error

func dial(ctx context.Context, cluster *kafka.Cluster, questions, answers string, o Options) (*client, error) {
	replies := append([]string{answers}, o.DeadLetters...)
	conn, err := cluster.Dial(ctx)
	if err != nil {
		return nil, err
	}
	target := sink.Kafka(cluster, stage.Topic[[]byte]{Name: questions, Codec: stage.Bytes()}).Targets[0]
	env := stage.Env{Stage: "reply", Logger: o.Logger, Topics: []string{questions}, Order: stage.Unordered}
	err = errors.Join(target.Check(ctx, env), cluster.Check(ctx, replies...), preflight.Topics(conn, preflight.Read, replies...))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}

	c := &client{
		questions: questions, answers: answers,
		waiting:  newWaiting(rand.Text() + "-"),
		room:     make(chan struct{}, o.MaxWaiting),
		outbox:   make(chan *question, o.MaxWaiting),
		closing:  make(chan struct{}),
		sent:     make(chan struct{}),
		failures: map[string]failure{answers: errorReply},
	}
	for _, topic := range o.DeadLetters {
		c.failures[topic] = deadLetter(cluster)
	}
	if c.listener, err = listen(ctx, conn, replies, o.Logger, c.hear); err != nil {
		return nil, err
	}
	if c.writer, err = target.Open(ctx, env); err != nil {
		return nil, errors.Join(err, c.listener.close())
	}
	go c.send()
	return c, nil
}

func (c *client) ask(ctx context.Context, value []byte, headers []stage.Header) (stage.Raw, error) {
	if err := ctx.Err(); err != nil {
		return stage.Raw{}, fmt.Errorf("reply: %w", err)
	}
	begun := time.Now()
	select {
	case c.room <- struct{}{}:
	case <-c.closing:
		return stage.Raw{}, ErrClosed
	case <-ctx.Done():
		return stage.Raw{}, c.unanswered(ctx, nil, begun)
	}
	q := c.question(ctx, value, headers, begun)
	if err := c.waiting.add(q, func() { c.outbox <- q }); err != nil {
		<-c.room
		return stage.Raw{}, err
	}
	c.counters.asked.Add(1)
	defer c.leave(q)
	select {
	case o := <-q.outcome:
		return o.answer, o.err
	case <-ctx.Done():
	}
	if !c.waiting.giveUp(q.id) { // it came in this very moment
		o := <-q.outcome
		return o.answer, o.err
	}
	c.counters.givenUp.Add(1)
	return stage.Raw{}, c.unanswered(ctx, q, begun)
}

func (c *client) question(ctx context.Context, value []byte, headers []stage.Header, now time.Time) *question {
	q := &question{id: c.waiting.prefix + strconv.FormatUint(c.number.Add(1), 10), outcome: make(chan outcome, 1)}
	q.holds.Store(2)
	q.record = stage.Raw{Topic: c.questions, Key: []byte(q.id), Value: value, Time: now}
	q.record.Headers = append(make([]stage.Header, 0, len(headers)+3), headers...)
	q.record.Headers = append(q.record.Headers,
		stage.Header{Key: HeaderID, Value: []byte(q.id)},
		stage.Header{Key: HeaderTopic, Value: []byte(c.answers)})
	if deadline, ok := ctx.Deadline(); ok {
		q.record.Headers = append(q.record.Headers, stage.Header{
			Key: HeaderDeadline, Value: strconv.AppendInt(nil, deadline.UnixMilli(), 10),
		})
	}
	return q
}

// leave is called by the asker and by the writer, and makes room when both
// have let go of the question.
func (c *client) leave(q *question) {
	if q.holds.Add(-1) == 0 {
		<-c.room
	}
}

// unanswered is the error of a question that was given up, nil if it never
// found room.
func (c *client) unanswered(ctx context.Context, q *question, begun time.Time) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("reply: %w", ctx.Err())
	}
	err := &TimeoutError{
		Questions: c.questions, Answers: c.answers, After: time.Since(begun).Round(time.Millisecond),
		Reading: c.listener.faultSince(begun), Waiting: c.waiting.len(), Late: c.counters.late.Load(),
	}
	if q != nil {
		err.ID, err.Written = q.id, q.written.Load()
	}
	return err
}

// batch is how many questions are written at once at the most.
const batch = 256

// send writes what is in the outbox. A Write may block, so no asker does it.
func (c *client) send() {
	defer close(c.sent)
	for q := range c.outbox {
		qs := c.wanted(nil, q)
		for n := min(len(c.outbox), batch-1); n > 0; n-- {
			qs = c.wanted(qs, <-c.outbox) // nobody else takes from it
		}
		recs := make([]stage.Raw, len(qs))
		for i, q := range qs {
			recs[i] = q.record
		}
		c.writer.Write(recs, func(i int, err error) { c.wrote(qs[i], err) })
	}
}

// wanted appends a question whose asker has not gone.
func (c *client) wanted(qs []*question, q *question) []*question {
	if !c.waiting.has(q.id) {
		c.leave(q)
		return qs
	}
	return append(qs, q)
}

func (c *client) wrote(q *question, err error) {
	defer c.leave(q)
	if err == nil {
		q.written.Store(true)
		c.counters.written.Add(1)
		return
	}
	then := ""
	if errors.Is(err, stage.ErrRefused) { // the writer has ended
		then = "; when that is mended, Dial again"
	}
	if c.waiting.end(q.id, outcome{err: fmt.Errorf("reply: the question could not be written: %w%s", err, then)}) {
		c.counters.failed.Add(1)
	}
}

// hear gives the first reply to who waits for it, and drops all others.
func (c *client) hear(r *stage.Raw) {
	header, _ := r.Header(HeaderID)
	id := string(header)
	o, count := outcome{answer: *r}, &c.counters.answered
	if strings.HasPrefix(id, c.waiting.prefix) {
		if err := c.failures[r.Topic](id, r); err != nil {
			o, count = outcome{err: err}, &c.counters.failed
		}
	}
	if !c.waiting.end(id, o) {
		count = map[kind]*atomic.Uint64{
			foreign: &c.counters.foreign, late: &c.counters.late, unclaimed: &c.counters.unclaimed,
		}[c.waiting.kindOf(id, r, time.Now())]
	}
	count.Add(1)
}

// errorReply is the failure of a record on the topic of answers.
func errorReply(id string, r *stage.Raw) error {
	reason, ok := r.Header(HeaderError)
	if !ok {
		return nil
	}
	who, _ := r.Header(HeaderStage)
	return &FailedError{ID: id, Stage: string(who), Reason: string(reason), Topic: r.Topic}
}

// deadLetter is that of a dead letter.
func deadLetter(c *kafka.Cluster) failure {
	read := source.DeadLetters(c, "", "").Decode // for its decoder alone
	return func(id string, r *stage.Raw) error {
		failed := &FailedError{ID: id, Topic: r.Topic}
		if d, err := read(r); err != nil {
			failed.Reason = fmt.Sprintf("a dead letter that does not say why: %v", err)
		} else {
			failed.Stage, failed.Step, failed.Reason = d.Stage, d.Step, d.Err.Error()
		}
		return failed
	}
}

// tidying is how long a close may take after nobody waits any more.
const tidying = time.Second

func (c *client) close(ctx context.Context) error {
	first := c.waiting.close(func() {
		close(c.closing)
		close(c.outbox)
	})
	if !first {
		return nil
	}
	select {
	case <-c.waiting.empty:
	case <-ctx.Done():
		c.counters.failed.Add(uint64(c.waiting.endAll(ErrClosed)))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- errors.Join(c.closeWriter(ctx), c.listener.close()) }()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done(): // what waits for the broker ends with sarama's own time-outs
		return fmt.Errorf("connections are still being closed after %v; does the broker answer?", tidying)
	}
}

func (c *client) closeWriter(ctx context.Context) error {
	select {
	case <-c.sent:
	case <-ctx.Done(): // a Write blocks, which the next line ends
	}
	return c.writer.Close(ctx)
}
