package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/millrace-go/millrace/stage"
)

// quotaPause is how long a used-up quota is left alone.
const quotaPause = time.Minute

// explain marks the errors that trying again cannot mend as stage.Permanent,
// has the others wait where that helps, and says what to do. The client itself
// tries again, within the timeout, what the service could not do (5xx,
// backendError, rateLimitExceeded, lost connections), and nothing else; its
// questions carry a request id, so that they are not run twice.
func explain(err error) error {
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		if known := explainAnswer(e, err); known != nil {
			return known
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time (Table.Timeout, or the caller's deadline): %w", err)
	}
	return err
}

// explainAnswer explains what BigQuery answered, nil where nothing is to be
// said.
func explainAnswer(e *googleapi.Error, err error) error {
	switch reason := reasonOf(e); {
	case reason == "bytesBilledLimitExceeded":
		return stage.Permanent(fmt.Errorf("it would bill more than WithMaxBytesBilled allows: %w", err))
	case reason == "quotaExceeded", reason == "rateLimitExceeded", e.Code == http.StatusTooManyRequests:
		return stage.RetryAfter(fmt.Errorf("a quota is used up: %w", err), quotaPause)
	case e.Code == http.StatusNotFound:
		return stage.Permanent(fmt.Errorf("not there, or in another location than the client's: %w", err))
	case e.Code == http.StatusForbidden:
		return stage.Permanent(fmt.Errorf("not allowed: the account needs roles/bigquery.jobUser in the project, and roles/bigquery.dataViewer for the table: %w", err))
	case e.Code >= http.StatusBadRequest && e.Code < http.StatusInternalServerError && e.Code != http.StatusUnauthorized && e.Code != http.StatusRequestTimeout:
		return stage.Permanent(err)
	}
	return nil
}

// reasonOf is BigQuery's own word for an error.
func reasonOf(e *googleapi.Error) string {
	if len(e.Errors) == 0 {
		return ""
	}
	return e.Errors[0].Reason
}

// done makes the end of the rows no error.
func done(err error) error {
	if errors.Is(err, iterator.Done) {
		return nil
	}
	return err
}
