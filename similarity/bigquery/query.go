package bigquery

import (
	"fmt"
	"strconv"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// Form is how a query asks for the nearest rows.
type Form uint8

const (
	// Probe asks the endpoint, by a dry run, whether it knows VECTOR_SEARCH, and
	// takes Distance if not, as with an emulator.
	Probe Form = iota
	// Distance compares each query with each row by EUCLIDEAN_DISTANCE or
	// COSINE_DISTANCE, and ranks them. It is exact, and all endpoints know it.
	Distance
	// VectorSearch calls VECTOR_SEARCH, which keeps no more than the nearest rows
	// on the way. It is exact unless an index may be used: see [WithIndex].
	VectorSearch
)

// String names the form.
func (f Form) String() string {
	if names := [...]string{"probe", "distance", "vector search"}; int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("Form(%d)", uint8(f))
}

// slack is how many rows more than asked for VECTOR_SEARCH is to give, so that
// of equally near ones those with the first ids can be told.
const slack = 8

// question is a batch as BigQuery is asked.
type question struct {
	sql    string
	params []bigquery.QueryParameter
	most   int64 // rows a query gets at most
}

// question asks for the top nearest of queries. What is the user's travels in
// parameters; the text has checked names, and digits, only.
func (f *Finder) question(queries []vector.Vector, top int64) question {
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
	q := question{most: top, params: []bigquery.QueryParameter{{Name: "queries", Value: param}}}
	if f.form == VectorSearch {
		where := f.where(&q, "")
		q.sql = f.table.sql(`
SELECT query.n AS q, base.{id} AS id, distance
FROM VECTOR_SEARCH(
  (SELECT {id}, {vector} FROM {table} WHERE ` + where + `),
  '` + f.table.VectorColumn + `',
  (SELECT n, v FROM UNNEST(@queries)),
  query_column_to_search => 'v',
  top_k => ` + strconv.FormatInt(top, 10) + `,
  distance_type => '` + metricName(f.metric) + `',
  options => '` + f.searchOptions() + `')
ORDER BY q, distance, id`)
		return q
	}
	where := f.where(&q, "item.")
	q.params = append(q.params, bigquery.QueryParameter{Name: "k", Value: top})
	q.sql = f.table.sql(`
SELECT q, id, distance FROM (
  SELECT query.n AS q, item.{id} AS id, ` + metricName(f.metric) + `_DISTANCE(item.{vector}, query.v) AS distance
  FROM {table} AS item CROSS JOIN UNNEST(@queries) AS query
  WHERE ` + where + `
)
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY q ORDER BY distance, id) <= @k
ORDER BY q, distance, id`)
	return q
}

// where is the rows that are searched, as a condition of SQL.
func (f *Finder) where(q *question, prefix string) string {
	all := []string{prefix + "{space} = @space"}
	q.params = append(q.params, bigquery.QueryParameter{Name: "space", Value: f.space})
	for i, c := range f.conditions {
		name := "c" + strconv.Itoa(i)
		q.params = append(q.params, bigquery.QueryParameter{Name: name, Value: parameter(c.Value)})
		value := "@" + name
		if c.Is == similarity.In || c.Is == similarity.NotIn {
			value = "UNNEST(" + value + ")"
		}
		all = append(all, prefix+"`"+c.Column+"` "+c.Is.String()+" "+value)
	}
	return strings.Join(all, " AND ")
}

// parameter makes no array of nothing NULL, as the client would.
func parameter(value any) any {
	switch v := value.(type) {
	case []string:
		return append([]string{}, v...)
	case []int64:
		return append([]int64{}, v...)
	case []float64:
		return append([]float64{}, v...)
	case int:
		return int64(v)
	}
	return value
}

func (f *Finder) searchOptions() string {
	switch {
	case !f.index:
		return `{"use_brute_force":true}`
	case f.fraction > 0:
		return `{"fraction_lists_to_search":` + strconv.FormatFloat(f.fraction, 'f', -1, 64) + `}`
	}
	return `{}`
}
