package bigquery

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// Finder is a [similarity.Finder] over the rows of one space in a [Table]. Make
// it with [Open]. It is safe for concurrent use.
type Finder struct {
	table  Table
	space  string
	metric similarity.Metric
	dim    int // 0 if there are no rows
	batch  int // queries in one request at most
	sql    string
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
func Open(ctx context.Context, t Table, space string, metric similarity.Metric) (*Finder, error) {
	t, err := t.withDefaults()
	if err != nil {
		return nil, err
	}
	distance := map[similarity.Metric]string{
		similarity.Euclidean: "EUCLIDEAN_DISTANCE",
		similarity.Cosine:    "COSINE_DISTANCE",
	}[metric]
	if distance == "" {
		return nil, fmt.Errorf("bigquery: no function for metric %v", metric)
	}
	var facts struct {
		Shortest int64 `bigquery:"shortest"`
		Longest  int64 `bigquery:"longest"`
		Zeros    int64 `bigquery:"zeros"`
	}
	err = t.read(ctx, t.sql(`
SELECT IFNULL(MIN(ARRAY_LENGTH({vector})), 0) AS shortest, IFNULL(MAX(ARRAY_LENGTH({vector})), 0) AS longest,
  COUNTIF((SELECT COUNTIF(x != 0) FROM UNNEST({vector}) AS x) = 0) AS zeros
FROM {table} WHERE {space} = @space`), []bigquery.QueryParameter{{Name: "space", Value: space}},
		func(rows *bigquery.RowIterator) error { return rows.Next(&facts) })
	switch {
	case err != nil:
		return nil, fmt.Errorf("bigquery: looking at %v: %w", t, err)
	case facts.Shortest != facts.Longest:
		return nil, fmt.Errorf("bigquery: %v has vectors of %d to %d values for space %q; a space has one dimension", t, facts.Shortest, facts.Longest, space)
	case metric == similarity.Cosine && facts.Zeros > 0:
		return nil, fmt.Errorf("bigquery: %v has %d vectors of zeros for space %q: they have no cosine distance, and one makes every query fail; delete them", t, facts.Zeros, space)
	}
	return &Finder{
		table: t, space: space, metric: metric, dim: int(facts.Longest),
		batch: max(1, maxRequest/bytesPerValue/max(1, int(facts.Longest))),
		sql: t.sql(`
SELECT q, id, distance FROM (
  SELECT query.n AS q, item.{id} AS id, ` + distance + `(item.{vector}, query.v) AS distance
  FROM {table} AS item CROSS JOIN UNNEST(@queries) AS query
  WHERE item.{space} = @space
)
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY q ORDER BY distance, id) <= @k
ORDER BY q, distance, id`),
	}, nil
}

// Nearest implements [similarity.Finder].
func (f *Finder) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]similarity.Hit, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("bigquery: %w", err)
	}
	check := func(q vector.Vector) error { return f.metric.CheckIn(q, f.space, f.dim) }
	if f.dim == 0 {
		check = f.metric.Check
	}
	return similarity.FindValid(queries, k, check, func(valid []vector.Vector) ([][]similarity.Hit, error) {
		hits := make([][]similarity.Hit, len(valid))
		if f.dim == 0 {
			return hits, nil
		}
		for lo := 0; lo < len(valid); lo += f.batch {
			hi := min(lo+f.batch, len(valid))
			if err := f.ask(ctx, valid[lo:hi], hits[lo:hi], k); err != nil {
				return nil, fmt.Errorf("bigquery: nearest in %v: %w", f.table, err)
			}
		}
		return hits, nil
	})
}

// ask fills hits with the answers to queries, in one query of BigQuery's.
func (f *Finder) ask(ctx context.Context, queries []vector.Vector, hits [][]similarity.Hit, k int) error {
	type numbered struct {
		N int64     `bigquery:"n"`
		V []float64 `bigquery:"v"`
	}
	param := make([]numbered, len(queries))
	for i, q := range queries {
		param[i] = numbered{int64(i), make([]float64, len(q.Values))}
		for j, x := range q.Values {
			param[i].V[j] = float64(x)
		}
	}
	return f.table.read(ctx, f.sql, []bigquery.QueryParameter{
		{Name: "queries", Value: param},
		{Name: "space", Value: f.space},
		{Name: "k", Value: int64(k)},
	}, func(rows *bigquery.RowIterator) error {
		var row struct {
			Q        int64   `bigquery:"q"`
			ID       string  `bigquery:"id"`
			Distance float64 `bigquery:"distance"`
		}
		if err := rows.Next(&row); err != nil {
			return err
		}
		if row.Q < 0 || row.Q >= int64(len(hits)) {
			return fmt.Errorf("an answer to query %d of %d", row.Q, len(hits))
		}
		hits[row.Q] = append(hits[row.Q], similarity.Hit{ID: row.ID, Distance: row.Distance})
		return nil
	})
}

// done makes the end of the rows no error.
func done(err error) error {
	if errors.Is(err, iterator.Done) {
		return nil
	}
	return err
}
