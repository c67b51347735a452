package bigquery

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/metric"
	rest "google.golang.org/api/bigquery/v2"
)

// Option changes how a Finder asks; see [Open].
type Option func(*settings)

type settings struct {
	form       Form
	index      bool
	fraction   float64
	mostBilled int64
	statistics bool
	service    *rest.Service
	provider   metric.MeterProvider
}

// WithForm asks in that form, not in the one that a probe finds.
func WithForm(form Form) Option { return func(s *settings) { s.form = form } }

// WithIndex lets VECTOR_SEARCH use a vector index, if there is one: it is
// faster, and may miss neighbours. fraction, above 0 and below 1, is the part
// of the index that is searched; 0 leaves it to BigQuery. [Stats] tells whether
// the index was used. Without this option every answer is exact.
//
// The index should store the columns of id, space and conditions, as those of
// [Layout] do: else they are looked at after the search, and fewer than k items
// may be left.
func WithIndex(fraction float64) Option {
	return func(s *settings) { s.index, s.fraction = true, fraction }
}

// WithMaxBytesBilled refuses, and does not pay for, a query, Open's too, that
// BigQuery thinks would bill more than that many bytes. It bills 10 MiB at least; the
// guess for a clustered table is an upper bound.
func WithMaxBytesBilled(bytes int64) Option {
	return func(s *settings) { s.mostBilled = bytes }
}

// WithStatistics asks after each query what it took, which is one more call,
// and keeps BigQuery from answering without a job, its faster way. service,
// made by NewService of google.golang.org/api/bigquery/v2 with the client's
// options, tells also whether an index was used; if it is nil the client is
// asked, which does not know that.
func WithStatistics(service *rest.Service) Option {
	return func(s *settings) { s.statistics, s.service = true, service }
}

// WithMetrics counts queries, vectors and failures, and with [WithStatistics]
// what the queries took, on instruments whose names begin with
// millrace.bigquery.
func WithMetrics(provider metric.MeterProvider) Option {
	return func(s *settings) { s.provider = provider }
}

func (s *settings) check() error {
	var errs []error
	if s.form > VectorSearch {
		errs = append(errs, fmt.Errorf("bigquery: WithForm: %v is not a form: use Probe, Distance or VectorSearch", s.form))
	}
	if s.index && s.form == Distance {
		errs = append(errs, errors.New("bigquery: WithIndex: only VECTOR_SEARCH uses an index: leave out WithForm(Distance)"))
	}
	if !(s.fraction >= 0 && s.fraction < 1) {
		errs = append(errs, fmt.Errorf("bigquery: WithIndex: the fraction %v is not from 0 to below 1", s.fraction))
	}
	if s.mostBilled < 0 {
		errs = append(errs, fmt.Errorf("bigquery: WithMaxBytesBilled: %d is negative", s.mostBilled))
	}
	return errors.Join(errs...)
}
