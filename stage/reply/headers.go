package reply

import (
	"strconv"
	"strings"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// Headers of a question. An answer has at least the first one; stages hand on
// all of them.
const (
	HeaderID       = "correlation-id" // which question it is
	HeaderTopic    = "reply-topic"    // where its answer is wanted
	HeaderDeadline = "reply-deadline" // until when; milliseconds since 1970, in decimal
)

// Headers of an error reply: a record on the topic of answers that says why
// there is no answer. Its value does not matter.
const (
	HeaderError = "reply-error"       // the reason, for people
	HeaderStage = "reply-error-stage" // who says so; optional
)

// Topic is where the answer to a question is wanted, by its headers; "" if it
// does not say. It is for sink.ChooseTopic, where askers have topics of their
// own:
//
//	sink.Kafka(cluster, answers, sink.ChooseTopic(reply.Topic[Answer]))
//
// Who may ask can then have the stage write to any topic that it may write to:
// give it permission for topics of answers only.
func Topic[A any](_ A, question *stage.Raw) string {
	topic, _ := question.Header(HeaderTopic)
	return string(topic)
}

// Deadline is when the asker of a question gives up, by its headers, and
// whether there is such a time. A stage may skip a question that is overdue, if
// its clock and the asker's agree.
func Deadline(question *stage.Raw) (time.Time, bool) {
	text, ok := question.Header(HeaderDeadline)
	if !ok {
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}, false
	}
	return time.UnixMilli(ms), true
}

const maxReason = 1024

// ErrorHeaders make a dead letter an error reply too, for askers that do not
// read dead letters:
//
//	DeadLetters: sink.Tee(
//		sink.DeadLetters(cluster, "questions.dead"),
//		sink.DeadLettersAs(cluster, answers.Name, reply.ErrorHeaders)),
//
// The error's text is cut at 1 KiB.
func ErrorHeaders(d stage.DeadLetter) []stage.Header {
	reason := d.Err.Error()
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	return []stage.Header{
		{Key: HeaderError, Value: []byte(reason)},
		{Key: HeaderStage, Value: []byte(d.Stage)},
	}
}
