package bigquery

import (
	"context"
	"errors"
	"net/http"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
)

// probe is the form that the endpoint knows. A dry run costs nothing.
func (t Table) probe(ctx context.Context) (Form, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	q := t.Client.Query(`SELECT distance FROM VECTOR_SEARCH((SELECT [1.0] AS v), 'v', (SELECT [1.0] AS v), top_k => 1)`)
	q.DryRun = true
	job, err := q.Run(ctx)
	if err == nil {
		err = failure(job)
	}
	if e, ok := errors.AsType[*googleapi.Error](err); ok && e.Code == http.StatusBadRequest {
		return Distance, nil
	}
	if _, ok := errors.AsType[*bigquery.Error](err); ok {
		return Distance, nil
	}
	if err != nil {
		return Probe, err
	}
	return VectorSearch, nil
}

// failure is a job's own error, which an emulator gives in place of an answer
// of HTTP's.
func failure(job *bigquery.Job) error {
	if status := job.LastStatus(); status != nil {
		return status.Err()
	}
	return nil
}
