package reply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// ErrClosed is what a question gets that comes after [Asker.Close], or still
// waits when that gives up.
var ErrClosed = errors.New("reply: the asker is closed")

// FailedError says that a question was given up by who should answer it.
type FailedError struct {
	ID     string     // the question's correlation id
	Stage  string     // who gave it up; "" if that is not said
	Step   stage.Step // in what; "" if that is not said
	Reason string
	// Topic is where that was read: one of dead letters, where the question
	// itself is kept, or the topic of answers.
	Topic string
}

// Error gives the reason, and who says so.
func (e *FailedError) Error() string {
	var b strings.Builder
	b.WriteString("reply: ")
	if e.Stage != "" {
		fmt.Fprintf(&b, "stage %q ", e.Stage)
	}
	b.WriteString("gave the question up")
	if e.Step != "" {
		fmt.Fprintf(&b, " in %s", e.Step)
	}
	fmt.Fprintf(&b, ": %s (question %s on topic %q)", e.Reason, e.ID, e.Topic)
	return b.String()
}

// TimeoutError says that no answer came in time. It wraps
// context.DeadlineExceeded.
type TimeoutError struct {
	ID                 string // the question's correlation id; "" if it found no room
	Questions, Answers string // the topics
	After              time.Duration
	Written            bool   // the question is on its topic for certain
	Reading            error  // a fault in reading the answers while it waited
	Waiting            int    // how many questions waited for an answer then
	Late               uint64 // how many answers to earlier questions came too late
}

// Error says what to look at.
func (e *TimeoutError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "reply: no answer after %v: ", e.After)
	switch {
	case e.ID == "":
		fmt.Fprintf(&b, "the question waited in vain for room among %d others, as many as Options.MaxWaiting lets in; are those answered, and does the broker take them?", e.Waiting)
	case !e.Written:
		fmt.Fprintf(&b, "the question is not on topic %q yet; does the broker answer?", e.Questions)
	case e.Reading != nil:
		fmt.Fprintf(&b, "the answers could not always be read: %v", e.Reading)
	default:
		fmt.Fprintf(&b, "the question is on topic %q, with header %s: %s; do all stages from there to topic %q run and keep up, do they hand that header on, and is it among their dead letters?", e.Questions, HeaderID, e.ID, e.Answers)
	}
	if e.Late > 0 {
		fmt.Fprintf(&b, " (%d answers came after their deadline so far: it may be too short)", e.Late)
	}
	return b.String()
}

// Unwrap gives context.DeadlineExceeded, and the fault in reading.
func (e *TimeoutError) Unwrap() []error {
	errs := []error{context.DeadlineExceeded}
	if e.Reading != nil {
		errs = append(errs, e.Reading)
	}
	return errs
}
