package bigquery

import (
	"context"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	rest "google.golang.org/api/bigquery/v2"
)

// Stats is what a search took.
type Stats struct {
	// Queries is how many of BigQuery's the search was.
	Queries int
	// Unknown is of how many of them no more than Elapsed is known: all without
	// [WithStatistics].
	Unknown int
	// Elapsed is the time from question to answer.
	Elapsed time.Duration
	// BytesProcessed are read, BytesBilled paid for.
	BytesProcessed, BytesBilled int64
	// CacheHits is how many queries were answered from BigQuery's cache, which
	// is free.
	CacheHits int
	// SlotTime is the time that BigQuery's workers were busy.
	SlotTime time.Duration
	// IndexUsage tells how far VECTOR_SEARCH used an index, in BigQuery's words:
	// UNUSED, PARTIALLY_USED or FULLY_USED; of several queries the least. Empty
	// if it is not known.
	IndexUsage string
	// IndexUnused are the reasons for no more, each a code of BigQuery's, and its
	// message.
	IndexUnused []string
}

// sum adds what one more query took.
func (s *Stats) sum(t Stats) {
	s.Queries += t.Queries
	s.Unknown += t.Unknown
	s.Elapsed += t.Elapsed
	s.BytesProcessed += t.BytesProcessed
	s.BytesBilled += t.BytesBilled
	s.CacheHits += t.CacheHits
	s.SlotTime += t.SlotTime
	least := []string{"UNUSED", "PARTIALLY_USED", "FULLY_USED"}
	if s.IndexUsage == "" || t.IndexUsage != "" && slices.Index(least, t.IndexUsage) < slices.Index(least, s.IndexUsage) {
		s.IndexUsage = t.IndexUsage
	}
	for _, reason := range t.IndexUnused {
		if !slices.Contains(s.IndexUnused, reason) {
			s.IndexUnused = append(s.IndexUnused, reason)
		}
	}
}

// add fills in what BigQuery tells of the job. That it does not tell is no
// failure of the search.
func (s *Stats) add(ctx context.Context, service *rest.Service, job *bigquery.Job) {
	if service == nil {
		status, err := job.Status(ctx)
		if err != nil || status.Statistics == nil {
			return
		}
		if q, ok := status.Statistics.Details.(*bigquery.QueryStatistics); ok {
			s.query(q.TotalBytesProcessed, q.TotalBytesBilled, q.CacheHit, q.SlotMillis)
		}
		return
	}
	got, err := service.Jobs.Get(job.ProjectID(), job.ID()).Location(job.Location()).Fields("statistics").Context(ctx).Do()
	if err != nil || got.Statistics == nil || got.Statistics.Query == nil {
		return
	}
	q := got.Statistics.Query
	s.query(q.TotalBytesProcessed, q.TotalBytesBilled, q.CacheHit, q.TotalSlotMs)
	if v := q.VectorSearchStatistics; v != nil {
		s.IndexUsage = v.IndexUsageMode
		for _, r := range v.IndexUnusedReasons {
			s.IndexUnused = append(s.IndexUnused, strings.TrimSuffix(r.Code+": "+r.Message, ": "))
		}
	}
}

func (s *Stats) query(processed, billed int64, cached bool, slotMillis int64) {
	s.Unknown = 0
	s.BytesProcessed, s.BytesBilled = processed, billed
	s.SlotTime = time.Duration(slotMillis) * time.Millisecond
	if cached {
		s.CacheHits = 1
	}
}
