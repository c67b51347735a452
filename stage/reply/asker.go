package reply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// Asker asks questions of type Q on one topic and waits for answers of type A
// on another. Make it with [Dial]. It is safe for concurrent use: a program
// needs one.
type Asker[Q, A any] struct {
	client    *client
	timeout   time.Duration
	questions stage.Codec[Q]
	answers   stage.Codec[A]
}

// NoTimeout is an [Options.Timeout].
const NoTimeout time.Duration = -1

// Options says how to ask. The zero value is a good beginning.
type Options struct {
	// DeadLetters are the topics where the answering stages put what they
	// give up. They are read too, so that such a question fails at once.
	DeadLetters []string
	// Timeout is how long a question waits for its answer, or until its
	// context ends. Zero means 30 s, [NoTimeout] that only the context counts.
	Timeout time.Duration
	// MaxWaiting is how many questions may wait for an answer at once, and so
	// bounds the memory; a question that is not yet written counts even if its
	// asker has gone. More wait for room. Zero means 10,000.
	MaxWaiting int
	// Logger hears of answers that may have been missed. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// Dial connects, and returns when no answer can be missed any more. It reports
// what would keep it from working: brokers that do not answer, topics that are
// missing, permissions.
func Dial[Q, A any](ctx context.Context, c *kafka.Cluster, questions stage.Topic[Q], answers stage.Topic[A], o Options) (*Asker[Q, A], error) {
	if err := errors.Join(checkTopic("questions", questions), checkTopic("answers", answers), o.check(c, questions.Name, answers.Name)); err != nil {
		return nil, fmt.Errorf("reply: not set up right:\n%w", err)
	}
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 10_000)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	client, err := dial(ctx, c, questions.Name, answers.Name, o)
	if err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	return &Asker[Q, A]{client, cmp.Or(o.Timeout, 30*time.Second), questions.Codec, answers.Codec}, nil
}

func checkTopic[T any](name string, t stage.Topic[T]) error {
	var errs []error
	if t.Name == "" {
		errs = append(errs, fmt.Errorf("%s: no topic", name))
	}
	if t.Codec == nil {
		errs = append(errs, fmt.Errorf("%s: no Codec; take stage.JSON, or another one", name))
	}
	return errors.Join(errs...)
}

// check reports all that is wrong.
func (o *Options) check(c *kafka.Cluster, questions, answers string) error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(c == nil, "no cluster; give Dial a *kafka.Cluster")
	wrong(questions != "" && questions == answers, "questions and answers are both on topic %q; give the answers their own", questions)
	for i, topic := range o.DeadLetters {
		wrong(topic == "", "DeadLetters: no topic")
		wrong(topic != "" && (topic == questions || topic == answers), "DeadLetters: topic %q is that of the questions or answers; give the dead letters their own", topic)
		wrong(slices.Contains(o.DeadLetters[:i], topic), "DeadLetters: topic %q is there twice", topic)
	}
	wrong(o.Timeout < 0 && o.Timeout != NoTimeout, "Timeout: negative; NoTimeout is none")
	wrong(o.MaxWaiting < 0, "MaxWaiting: negative")
	return errors.Join(errs...)
}

var errNotDialed = errors.New("reply: no connection; make the Asker with Dial")

// Ask sends a question and waits for the answer, until ctx or
// [Options.Timeout] ends. headers go with the question: a trace's context, for
// instance. The error is a [*FailedError] or a [*TimeoutError], that of ctx,
// [ErrClosed], or says that the question could not be written or the answer
// not be read.
//
// An error does not mean that the question had no effect: it may be answered
// later, and that answer is dropped.
func (a *Asker[Q, A]) Ask(ctx context.Context, question Q, headers ...stage.Header) (answer A, err error) {
	if a.client == nil {
		return answer, errNotDialed
	}
	value, err := a.questions.Encode(question)
	if err != nil {
		return answer, fmt.Errorf("reply: encode the question: %w", err)
	}
	if a.timeout != NoTimeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.timeout)
		defer cancel()
	}
	r, err := a.client.ask(ctx, value, headers)
	if err != nil {
		return answer, err
	}
	if answer, err = a.answers.Decode(r.Value); err != nil {
		id, _ := r.Header(HeaderID)
		return answer, fmt.Errorf("reply: the answer to question %s, %s/%d@%d, can't be read: %w", id, r.Topic, r.Partition, r.Offset, err)
	}
	return answer, nil
}

// Stats is what has happened so far.
func (a *Asker[Q, A]) Stats() Stats {
	if a.client == nil {
		return Stats{}
	}
	return a.client.stats()
}

// Close drains: it takes no more questions, waits for the answers to those that
// were asked until ctx ends, and disconnects, for which it takes a second at
// most. Questions that still wait then get [ErrClosed]. Only the first call
// does something.
func (a *Asker[Q, A]) Close(ctx context.Context) error {
	if a.client == nil {
		return nil
	}
	if err := a.client.close(ctx); err != nil {
		return fmt.Errorf("reply: close: %w", err)
	}
	return nil
}
