package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// Finder is a [similarity.Finder] over the rows of one space in a [Table]. Make
// it with [Open]. It is safe for concurrent use.
//
// By cosine, values so small that their squares are none in float32, below
// 1e-19, are measured wrongly by pgvector.
type Finder struct {
	table      Table
	space      string
	metric     similarity.Metric
	dim        int // 0 if there are no rows
	index      bool
	conditions []similarity.Condition
}

// Option changes how a Finder asks; see [Open].
type Option func(*Finder)

// WithIndex lets pgvector use an HNSW or IVFFlat index on the column, if there is
// one for the metric: it is faster, and may miss neighbours, or find fewer than k
// where conditions leave out many. The column's type must then give the
// dimension (ALTER COLUMN vector TYPE vector(384)), and how long is searched is
// a setting of the pool's connections (hnsw.ef_search, ivfflat.probes).
func WithIndex() Option { return func(f *Finder) { f.index = true } }

// Open looks at the table's rows of the space and returns a Finder over them,
// by [similarity.Euclidean] or [similarity.Cosine]. No such table, vectors of
// several lengths and, for cosine, vectors of zeros are an error. Rows added
// later are found too; they must be of the same dimension.
func Open(ctx context.Context, t Table, space string, metric similarity.Metric, options ...Option) (*Finder, error) {
	t, err := t.withDefaults()
	if err != nil {
		return nil, err
	}
	if metric != similarity.Euclidean && metric != similarity.Cosine {
		return nil, fmt.Errorf("postgres: no operator for metric %v", metric)
	}
	f := &Finder{table: t, space: space, metric: metric}
	for _, o := range options {
		o(f)
	}
	var shortest, longest, zeros int
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	err = t.Pool.QueryRow(ctx, t.sql("SELECT coalesce(min(vector_dims({vector})), 0), coalesce(max(vector_dims({vector})), 0), "+
		"count(*) FILTER (WHERE vector_norm({vector}) = 0) FROM {table} WHERE {space} = $1"), space).Scan(&shortest, &longest, &zeros)
	switch {
	case err != nil:
		return nil, fmt.Errorf("postgres: looking at %v: %w", t, explain(err))
	case shortest != longest:
		return nil, fmt.Errorf("postgres: %v has vectors of %d to %d values for space %q; a space has one dimension", t, shortest, longest, space)
	case metric == similarity.Cosine && zeros > 0:
		return nil, fmt.Errorf("postgres: %v has %d vectors of zeros for space %q: they have no cosine distance; delete them", t, zeros, space)
	}
	f.dim = longest
	return f, nil
}

// Where is the Finder of those rows of f that meet the conditions, by any
// columns of the table.
func (f *Finder) Where(conditions ...similarity.Condition) (*Finder, error) {
	for _, c := range conditions {
		if err := c.Check(); err != nil {
			return nil, fmt.Errorf("postgres: %w", err)
		}
		if !name.MatchString(c.Column) {
			return nil, fmt.Errorf("postgres: condition on column %q: the name does not match %v", c.Column, name)
		}
	}
	g := *f
	g.conditions = slices.Concat(f.conditions, conditions)
	return &g, nil
}

// Nearest implements [similarity.Finder].
func (f *Finder) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]similarity.Hit, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
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
		if err := f.nearest(ctx, valid, hits, k); err != nil {
			return nil, fmt.Errorf("postgres: nearest in %v: %w", f.table, explain(err))
		}
		return hits, nil
	})
}

// nearest fetches candidates, and more of them for the queries of which it is
// not proved that those are all.
func (f *Finder) nearest(ctx context.Context, queries []vector.Vector, hits [][]similarity.Hit, k int) error {
	at := make([]int, len(queries)) // where the answers belong
	for i := range at {
		at[i] = i
	}
	const slack = 8
	for most := int64(k) + slack; len(queries) > 0; most *= 4 {
		found, err := f.candidates(ctx, queries, most)
		if err != nil {
			return err
		}
		var again []vector.Vector
		var againAt []int
		for i, c := range found {
			if !f.index && int64(len(c.hits)) == most && !f.proved(c, k) {
				again, againAt = append(again, queries[i]), append(againAt, at[i])
				continue
			}
			hits[at[i]] = c.hits[:min(k, len(c.hits))]
		}
		queries, at = again, againAt
	}
	return nil
}

// candidates are rows that are near a query.
type candidates struct {
	hits []similarity.Hit // measured in float64, in order
	last float64          // pgvector's own distance of the farthest
}

// proved says that no row that was not fetched can be among the k nearest, nor
// equally near. pgvector adds n squares in float32, each step with a relative
// error of 2^-24 at most, and what is no candidate is no nearer by its measure
// than the last one.
func (f *Finder) proved(c candidates, k int) bool {
	if math.IsInf(c.last, 0) || math.IsNaN(c.last) {
		return false // beyond float32
	}
	relative := 2 * float64(f.dim+8) / (1 << 24)
	least := c.last - relative // cosine: of vectors made as long as 1
	if f.metric == similarity.Euclidean {
		const tiny = 1e-18 // squares below that are lost
		least = c.last*(1-relative) - tiny*math.Sqrt(float64(f.dim))
	}
	return c.hits[k-1].Distance < least
}

// candidates asks for the most nearest rows of each query, in one statement.
func (f *Finder) candidates(ctx context.Context, queries []vector.Vector, most int64) ([]candidates, error) {
	ctx, cancel := context.WithTimeout(ctx, f.table.Timeout)
	defer cancel()
	texts := make([]string, len(queries))
	for i, q := range queries {
		texts[i] = text(q.Values)
	}
	sql, args := f.statement(texts, most)
	rows, err := f.table.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make([]candidates, len(queries))
	var (
		n      int64
		id     string
		values []float32
		theirs float64
	)
	for rows.Next() {
		if err := rows.Scan(&n, &id, &values, &theirs); err != nil {
			return nil, err
		}
		if n < 1 || n > int64(len(queries)) {
			return nil, stage.Permanent(fmt.Errorf("an answer to query %d of %d", n, len(queries)))
		}
		d, err := f.metric.Distance(queries[n-1].Values, values)
		if err != nil {
			return nil, stage.Permanent(fmt.Errorf("row %q: %w", id, err))
		}
		c := &found[n-1]
		c.hits, c.last = append(c.hits, similarity.Hit{ID: id, Distance: d}), theirs // the farthest comes last
	}
	for _, c := range found {
		slices.SortFunc(c.hits, compare)
	}
	return found, rows.Err()
}

func compare(a, b similarity.Hit) int {
	switch {
	case a.Distance < b.Distance:
		return -1
	case a.Distance > b.Distance:
		return 1
	}
	return strings.Compare(a.ID, b.ID)
}

// statement is the question, whose text has checked names only.
func (f *Finder) statement(queries []string, most int64) (sql string, args []any) {
	args = []any{queries, f.space, most}
	where := []string{"{space} = $2"}
	for _, c := range f.conditions {
		args = append(args, parameter(c.Value))
		value := "$" + strconv.Itoa(len(args)) + "::" + sqlType(c.Value)
		operator := c.Is.String() + " " + value
		switch c.Is {
		case similarity.In:
			operator = "= ANY(" + value + ")"
		case similarity.NotIn:
			operator = "<> ALL(" + value + ")"
		default: // the operator is the same in SQL
		}
		where = append(where, `"`+c.Column+`" `+operator)
	}
	distance := "{vector} <-> query.v"
	if f.metric == similarity.Cosine {
		distance = "{vector} <=> query.v"
	}
	rows := "SELECT {id} AS id, {vector} AS v, " + distance + " AS d FROM {table} WHERE " + strings.Join(where, " AND ")
	nearest := "SELECT * FROM (" + rows + " OFFSET 0) AS measured ORDER BY d" // OFFSET 0: measured once, and by no index
	if f.index {
		nearest = rows + " ORDER BY " + distance
	}
	return f.table.sql("WITH query AS MATERIALIZED (SELECT n, v::vector AS v FROM unnest($1::text[]) WITH ORDINALITY AS texts(v, n)) " +
		"SELECT query.n, hit.id, hit.v::real[], hit.d FROM query CROSS JOIN LATERAL (" + nearest + " LIMIT $3) AS hit ORDER BY query.n, hit.d"), args
}

// parameter makes no array of nothing NULL.
func parameter(value any) any {
	switch v := value.(type) {
	case []string:
		return append([]string{}, v...)
	case []int64:
		return append([]int64{}, v...)
	case []float64:
		return append([]float64{}, v...)
	}
	return value
}

// sqlType is a condition's value's. The slices are those that Check takes.
func sqlType(value any) string {
	switch value.(type) {
	case bool:
		return "boolean"
	case int, int64:
		return "bigint"
	case float64:
		return "double precision"
	case []string:
		return "text[]"
	case []int64:
		return "bigint[]"
	case []float64:
		return "double precision[]"
	case string:
		return "text"
	}
	return "timestamptz"
}

// text is how pgvector reads values, each exact.
func text(values []float32) string {
	b := []byte{'['}
	for i, x := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return string(append(b, ']'))
}
