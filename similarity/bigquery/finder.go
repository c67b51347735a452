package bigquery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// Finder is a [similarity.Finder] over the rows of one space in a [Table]. Make
// it with [Open]. It is safe for concurrent use.
type Finder struct {
	table      Table
	space      string
	metric     similarity.Metric
	dim        int // 0 if there are no rows
	batch      int // queries in one request at most
	conditions []similarity.Condition
	settings
	meters *meters
}

// maxRequest is how many bytes of vectors go into one query, well below the 10
// MB that BigQuery takes; bytesPerValue is a number in the request's JSON.
const (
	maxRequest    = 4 << 20
	bytesPerValue = 45
)

// Open looks at the table's rows of the space (one query over their vectors)
// and returns a Finder over them. No such table, vectors of several
// lengths and, for cosine, vectors of zeros are an error. Rows added later
// are found too; they must be of the same dimension.
//
// Reduced vectors are a Table too: one whose VectorColumn and SpaceColumn are
// theirs.
func Open(ctx context.Context, t Table, space string, metric similarity.Metric, options ...Option) (*Finder, error) {
	t, err := t.withDefaults()
	if err != nil {
		return nil, err
	}
	if metric != similarity.Euclidean && metric != similarity.Cosine {
		return nil, fmt.Errorf("bigquery: no function for metric %v", metric)
	}
	f := &Finder{table: t, space: space, metric: metric}
	for _, o := range options {
		o(&f.settings)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.meters, err = newMeters(f.provider); err != nil {
		return nil, err
	}
	if err := f.look(ctx); err != nil {
		return nil, err
	}
	if f.form == Probe {
		if f.form, err = t.probe(ctx); err != nil {
			return nil, fmt.Errorf("bigquery: does it know VECTOR_SEARCH? %w", explain(err))
		}
		if f.index && f.form != VectorSearch {
			return nil, errors.New("bigquery: WithIndex: this endpoint does not know VECTOR_SEARCH")
		}
	}
	f.batch = max(1, maxRequest/bytesPerValue/max(1, f.dim))
	return f, nil
}

// look finds the rows' dimension, and what is wrong with them.
func (f *Finder) look(ctx context.Context) error {
	var facts struct {
		Shortest int64 `bigquery:"shortest"`
		Longest  int64 `bigquery:"longest"`
		Zeros    int64 `bigquery:"zeros"`
	}
	err := f.table.readUpTo(ctx, f.mostBilled, f.table.sql(`
SELECT IFNULL(MIN(ARRAY_LENGTH({vector})), 0) AS shortest, IFNULL(MAX(ARRAY_LENGTH({vector})), 0) AS longest,
  COUNTIF((SELECT COUNTIF(x != 0) FROM UNNEST({vector}) AS x) = 0) AS zeros
FROM {table} WHERE {space} = @space`), []bigquery.QueryParameter{{Name: "space", Value: f.space}},
		func(rows *bigquery.RowIterator) error { return rows.Next(&facts) })
	switch {
	case err != nil:
		return fmt.Errorf("bigquery: looking at %v: %w", f.table, explain(err))
	case facts.Shortest != facts.Longest:
		return fmt.Errorf("bigquery: %v has vectors of %d to %d values for space %q; a space has one dimension", f.table, facts.Shortest, facts.Longest, f.space)
	case f.metric == similarity.Cosine && facts.Zeros > 0:
		return fmt.Errorf("bigquery: %v has %d vectors of zeros for space %q: they have no cosine distance, and one makes every query fail; delete them", f.table, facts.Zeros, f.space)
	}
	f.dim = int(facts.Longest)
	return nil
}

// Form is how f asks: Distance or VectorSearch.
func (f *Finder) Form() Form { return f.form }

// Where is the Finder of those rows of f that meet the conditions, by any
// columns of the table.
func (f *Finder) Where(conditions ...similarity.Condition) (*Finder, error) {
	for _, c := range conditions {
		if err := c.Check(); err != nil {
			return nil, fmt.Errorf("bigquery: %w", err)
		}
	}
	g := *f
	g.conditions = slices.Concat(f.conditions, conditions)
	return &g, nil
}

// Nearest implements [similarity.Finder].
func (f *Finder) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]similarity.Hit, error) {
	hits, _, err := f.Search(ctx, queries, k)
	return hits, err
}

// Search is Nearest, and tells what BigQuery did for it. What it did for a
// search that failed is told too, as far as it is known.
func (f *Finder) Search(ctx context.Context, queries []vector.Vector, k int) ([][]similarity.Hit, Stats, error) {
	var stats Stats
	if err := ctx.Err(); err != nil {
		return nil, stats, fmt.Errorf("bigquery: %w", err)
	}
	check := func(q vector.Vector) error { return f.metric.CheckIn(q, f.space, f.dim) }
	if f.dim == 0 {
		check = f.metric.Check
	}
	hits, err := similarity.FindValid(queries, k, check, func(valid []vector.Vector) ([][]similarity.Hit, error) {
		hits := make([][]similarity.Hit, len(valid))
		if f.dim == 0 {
			return hits, nil
		}
		for lo := 0; lo < len(valid); lo += f.batch {
			hi := min(lo+f.batch, len(valid))
			if err := f.nearest(ctx, valid[lo:hi], hits[lo:hi], k, &stats); err != nil {
				return nil, fmt.Errorf("bigquery: nearest in %v: %w", f.table, err)
			}
		}
		return hits, nil
	})
	return hits, stats, err
}

// nearest fills hits with the answers to queries. VECTOR_SEARCH gives any of
// those that are equally near: where they are more than were fetched, more are.
func (f *Finder) nearest(ctx context.Context, queries []vector.Vector, hits [][]similarity.Hit, k int, stats *Stats) error {
	top := int64(k)
	if f.form == VectorSearch {
		top += slack
	}
	at := make([]int, len(queries)) // where the answers belong
	for i := range at {
		at[i] = i
	}
	for ; len(queries) > 0; top *= 4 {
		found := make([][]similarity.Hit, len(queries))
		if err := f.ask(ctx, f.question(queries, top), found, stats); err != nil {
			return err
		}
		var again []vector.Vector
		var againAt []int
		for i, all := range found {
			if f.form == VectorSearch && int64(len(all)) == top && all[k-1].Distance == all[top-1].Distance {
				again, againAt = append(again, queries[i]), append(againAt, at[i])
				continue
			}
			hits[at[i]] = all[:min(k, len(all))]
		}
		queries, at = again, againAt
	}
	return nil
}

// ask puts one question to BigQuery.
func (f *Finder) ask(ctx context.Context, question question, hits [][]similarity.Hit, stats *Stats) error {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, f.table.Timeout)
	defer cancel()
	q := f.table.Client.Query(question.sql)
	q.Parameters, q.MaxBytesBilled = question.params, f.mostBilled
	if !f.statistics {
		q.JobCreationMode = bigquery.JobCreationModeOptional
	}
	rows, err := q.Read(ctx)
	if err == nil {
		err = collect(rows, hits)
	}
	took := Stats{Queries: 1, Unknown: 1, Elapsed: time.Since(begin)}
	if job := sourceJob(rows); f.statistics && job != nil {
		took.add(ctx, f.service, job)
	}
	stats.sum(took)
	f.meters.record(ctx, len(hits), took, err)
	return explain(err)
}

// sourceJob is the job behind an answer, if there is one.
func sourceJob(rows *bigquery.RowIterator) *bigquery.Job {
	if rows == nil {
		return nil
	}
	return rows.SourceJob()
}

// collect reads an answer's rows, which are in order.
func collect(rows *bigquery.RowIterator, hits [][]similarity.Hit) error {
	for {
		var row struct {
			Q        int64   `bigquery:"q"`
			ID       string  `bigquery:"id"`
			Distance float64 `bigquery:"distance"`
		}
		if err := rows.Next(&row); err != nil {
			return done(err)
		}
		if row.Q < 0 || row.Q >= int64(len(hits)) {
			return stage.Permanent(fmt.Errorf("an answer to query %d of %d", row.Q, len(hits)))
		}
		hits[row.Q] = append(hits[row.Q], similarity.Hit{ID: row.ID, Distance: row.Distance})
	}
}
