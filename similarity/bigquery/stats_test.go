package bigquery_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	rest "google.golang.org/api/bigquery/v2"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/bigquery"
	"github.com/millrace-go/millrace/similarity/vector"
)

func TestStatistics(t *testing.T) {
	items := []similarity.Item{item("a", "s", 1)}
	question := []vector.Vector{items[0].Vector, {Space: "s", Values: []float32{2}}}
	fake := newFake(t)
	fake.stats = rest.JobStatistics2{
		TotalBytesProcessed: 9_000_000, TotalBytesBilled: 10 << 20, TotalSlotMs: 250,
		VectorSearchStatistics: &rest.VectorSearchStatistics{IndexUsageMode: "UNUSED", IndexUnusedReasons: []*rest.IndexUnusedReason{
			{Code: "BASE_TABLE_TOO_SMALL", Message: "below 10 MB"}, {Code: "QUERY_CACHE_HIT"},
		}},
	}
	meters := &counts{}
	f := openFake(t, fake, similarity.Euclidean, items,
		bigquery.WithStatistics(fake.service(t)), bigquery.WithIndex(0), bigquery.WithMetrics(meters))
	_, got, err := f.Search(t.Context(), question, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got.Queries != 1 || got.Unknown != 0 || got.BytesProcessed != 9_000_000 || got.BytesBilled != 10<<20 || got.CacheHits != 0 ||
		got.SlotTime != 250*time.Millisecond || got.Elapsed <= 0 || got.IndexUsage != "UNUSED" ||
		!slices.Equal(got.IndexUnused, []string{"BASE_TABLE_TOO_SMALL: below 10 MB", "QUERY_CACHE_HIT"}) {
		t.Errorf("statistics %+v", got)
	}
	if mode := fake.last().JobCreationMode; mode != "" {
		t.Errorf("job creation mode %q: without a job there are no statistics", mode)
	}
	fake.stats = rest.JobStatistics2{CacheHit: true, VectorSearchStatistics: &rest.VectorSearchStatistics{IndexUsageMode: "FULLY_USED"}}
	bigquery.SetBatch(f, 1) // two queries
	if _, got, err = f.Search(t.Context(), question, 1); err != nil || got.Queries != 2 || got.CacheHits != 2 || got.BytesBilled != 0 || got.IndexUsage != "FULLY_USED" {
		t.Errorf("statistics %+v, %v", got, err)
	}
	fake.failures = []failure{{400, "bytesBilledLimitExceeded", "too dear"}}
	if _, _, err = f.Search(t.Context(), question, 1); err == nil {
		t.Error("no error")
	}
	for name, want := range map[string]int64{
		"queries outcome=ok index_usage=UNUSED": 1, "queries outcome=ok index_usage=FULLY_USED": 2, "queries outcome=bytesBilledLimitExceeded": 1,
		"vectors": 5, "bytes_billed": 10 << 20, "bytes_processed": 9_000_000, "cache_hits": 2,
	} {
		if got := meters.sum(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

// By the client alone, without the index; without statistics; and where the
// service has answered but tells nothing.
func TestStatisticsOtherwise(t *testing.T) {
	items := []similarity.Item{item("a", "s", 1)}
	question := []vector.Vector{items[0].Vector}
	fake := newFake(t)
	fake.stats = rest.JobStatistics2{TotalBytesBilled: 10 << 20, TotalSlotMs: 3, CacheHit: true}
	f := openFake(t, fake, similarity.Euclidean, items, bigquery.WithStatistics(nil))
	_, got, err := f.Search(t.Context(), question, 1)
	if err != nil || got.BytesBilled != 10<<20 || got.CacheHits != 1 || got.SlotTime != 3*time.Millisecond || got.IndexUsage != "" || got.Unknown != 0 {
		t.Errorf("by the client: %+v, %v", got, err)
	}
	f = openFake(t, fake, similarity.Euclidean, items)
	if _, got, err = f.Search(t.Context(), question, 1); err != nil || got.Queries != 1 || got.Unknown != 1 || got.BytesBilled != 0 {
		t.Errorf("without: %+v, %v", got, err)
	}
	other := newFake(t) // does not know the job
	f = openFake(t, fake, similarity.Euclidean, items, bigquery.WithStatistics(other.service(t)))
	if hits, got, err := f.Search(t.Context(), question, 1); err != nil || len(hits[0]) != 1 || got.Unknown != 1 {
		t.Errorf("without an answer about it: %v, %+v, %v", hits, got, err)
	}
}

func TestEstimate(t *testing.T) {
	items := []similarity.Item{item("a", "s", 1, 2)}
	fake := newFake(t)
	f := openFake(t, fake, similarity.Euclidean, items)
	bytes := int64(0)
	fake.dryRun = func(sql string) (int64, *failure) {
		if !strings.Contains(sql, "VECTOR_SEARCH") || !strings.Contains(sql, "posts.vectors") {
			t.Errorf("a dry run of %s", sql)
		}
		return bytes, nil
	}
	for _, c := range []struct{ bytes, billed int64 }{{0, 10 << 20}, {10<<20 + 1, 11 << 20}, {187_000_000, 179 << 20}} {
		bytes = c.bytes
		if cost, err := f.Estimate(t.Context(), 3, 5); err != nil || cost.Processed != c.bytes || cost.Billed != c.billed {
			t.Errorf("%d bytes: %+v, %v", c.bytes, cost, err)
		}
	}
	if cost := bigquery.CostOf(items); cost != (bigquery.Cost{Processed: 22, Billed: 10 << 20}) {
		t.Errorf("the table costs %+v", cost)
	}
	if cost := (bigquery.Cost{Billed: 1 << 39}); cost.Dollars(6) != 3 {
		t.Errorf("half a TiB at 6 is %v", cost.Dollars(6))
	}
	for _, n := range []int{0, 1 << 30} {
		if _, err := f.Estimate(t.Context(), n, 1); err == nil {
			t.Errorf("an estimate for %d vectors", n)
		}
	}
	fake.dryRun = func(string) (int64, *failure) { return 0, &failure{400, "invalidQuery", "no such column"} }
	if _, err := f.Estimate(t.Context(), 1, 1); err == nil || !strings.Contains(err.Error(), "no such column") {
		t.Errorf("error %v", err)
	}
}

// counts is a metric.MeterProvider that keeps what counters were given.
type counts struct {
	embedded.MeterProvider
	all map[string]int64
}

func (c *counts) sum(name string) int64 { return c.all[name] }

func (c *counts) Meter(string, ...metric.MeterOption) metric.Meter { return countingMeter{c: c} }

type countingMeter struct {
	noop.Meter
	c *counts
}

func (m countingMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return counter{c: m.c, name: strings.TrimPrefix(name, "millrace.bigquery.")}, nil
}

type counter struct {
	noop.Int64Counter
	c    *counts
	name string
}

func (n counter) Add(_ context.Context, by int64, options ...metric.AddOption) {
	name := n.name
	set := metric.NewAddConfig(options).Attributes()
	for _, key := range []string{"outcome", "index_usage"} {
		for _, a := range set.ToSlice() {
			if string(a.Key) == key {
				name += " " + key + "=" + a.Value.AsString()
			}
		}
	}
	if n.c.all == nil {
		n.c.all = map[string]int64{}
	}
	n.c.all[name] += by
}
