package stage

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// ErrSkip drops a record that a [Transform] returns it for: the record is done,
// and nothing is written for it. This is how a stage filters.
var ErrSkip = errors.New("stage: skip this record")

// ErrUnavailable is what a [Writer] wraps in the error of a write that failed
// because the target is away, a broker for instance: the stage writes again
// until it is back, whatever [Retry] says of attempts, since no record is to
// blame.
var ErrUnavailable = errors.New("stage: the target is not available")

// ErrRefused is what a [Writer] wraps in the error of a write that failed
// because the target takes nothing at all any more, a topic that was deleted
// for instance: the stage stops. No record is to blame, so that none becomes a
// dead letter.
var ErrRefused = errors.New("stage: the target takes nothing any more")

// ErrFenced is what a [TxnWriter] wraps in the error of a commit that was
// refused because lanes in it belong to somebody else by now.
var ErrFenced = errors.New("stage: the lanes belong to another member")

// BatchError says which records of a batch failed. Errs has one entry a
// record, in the batch's order; nil where the record went well.
type BatchError struct {
	Errs []error
}

// Error tells how many records failed and why the first one did.
func (e *BatchError) Error() string {
	n, first := 0, error(nil)
	for _, err := range e.Errs {
		if err == nil {
			continue
		}
		if first == nil {
			first = err
		}
		n++
	}
	return fmt.Sprintf("stage: %d of %d records failed, the first with: %v", n, len(e.Errs), first)
}

// Unwrap gives the records' errors to [errors.Is] and [errors.As].
func (e *BatchError) Unwrap() []error {
	var errs []error
	for _, err := range e.Errs {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// set notes that record i of n failed.
func (e *BatchError) set(n, i int, err error) {
	if e.Errs == nil {
		e.Errs = make([]error, n)
	}
	e.Errs[i] = err
}

func (e *BatchError) orNil() error {
	if e.Errs == nil {
		return nil
	}
	return e
}

// Permanent marks err as one that trying again cannot mend: the stage does
// not retry, the record is a dead letter at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err, or an error it wraps, was marked by
// [Permanent] or is a [*PanicError].
func IsPermanent(err error) bool {
	if _, ok := errors.AsType[*permanentError](err); ok {
		return true
	}
	_, ok := errors.AsType[*PanicError](err)
	return ok
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// RetryAfter asks the stage to try the record again no sooner than after d,
// for instance what a service said in a Retry-After header. RetryAfter(nil, d)
// is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, d}
}

type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// PanicError is a panic in a [Transform], a [Codec] or another function of the
// user's. It fails the record it happened on and is not retried.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of the goroutine that panicked
}

// Error gives the panic's value; the stack is in the field.
func (e *PanicError) Error() string { return fmt.Sprintf("stage: panic: %v", e.Value) }

// Unwrap gives the panic's value where it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// recoverTo, deferred, turns a panic into a *PanicError.
func recoverTo(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}
