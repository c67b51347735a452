package bigquery

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/api/googleapi"
)

// meters are the instruments of a Finder.
type meters struct {
	queries, vectors, billed, processed, cached metric.Int64Counter
	elapsed                                     metric.Float64Histogram
}

func newMeters(provider metric.MeterProvider) (*meters, error) {
	if provider == nil {
		provider = noop.NewMeterProvider()
	}
	m := provider.Meter("github.com/millrace-go/millrace/similarity/bigquery")
	var errs []error
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := m.Int64Counter("millrace.bigquery."+name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	all := &meters{
		queries:   counter("queries", "{query}", "queries that were run"),
		vectors:   counter("vectors", "{vector}", "vectors that were asked about"),
		billed:    counter("bytes_billed", "By", "bytes that queries billed"),
		processed: counter("bytes_processed", "By", "bytes that queries read"),
		cached:    counter("cache_hits", "{query}", "queries that were answered from the cache"),
	}
	var err error
	all.elapsed, err = m.Float64Histogram("millrace.bigquery.duration", metric.WithUnit("s"), metric.WithDescription("time of a query"))
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("bigquery: metrics: %w", err)
	}
	return all, nil
}

// record counts a query. Its error is told by BigQuery's reason, or the kind.
func (m *meters) record(ctx context.Context, vectors int, took Stats, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
		if e, ok := errors.AsType[*googleapi.Error](err); ok && reasonOf(e) != "" {
			outcome = reasonOf(e)
		} else if errors.Is(err, context.DeadlineExceeded) {
			outcome = "timeout"
		} else if errors.Is(err, context.Canceled) {
			outcome = "canceled"
		}
	}
	attributes := []attribute.KeyValue{attribute.String("outcome", outcome)}
	if took.IndexUsage != "" {
		attributes = append(attributes, attribute.String("index_usage", took.IndexUsage))
	}
	with := metric.WithAttributes(attributes...)
	ctx = context.WithoutCancel(ctx) // a query that came too late counts, too
	m.queries.Add(ctx, int64(took.Queries), with)
	m.elapsed.Record(ctx, took.Elapsed.Seconds(), with)
	m.vectors.Add(ctx, int64(vectors))
	m.billed.Add(ctx, took.BytesBilled)
	m.processed.Add(ctx, took.BytesProcessed)
	m.cached.Add(ctx, int64(took.CacheHits))
}
