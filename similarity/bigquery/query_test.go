package bigquery_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/bigquery"
	"github.com/millrace-go/millrace/similarity/similaritytest"
	"github.com/millrace-go/millrace/similarity/vector"
)

// The suite, by VECTOR_SEARCH: the fake gives the wrong ones of equally near
// rows, as it may.
func TestVectorSearchIsAFinder(t *testing.T) {
	similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
		f := openFake(t, newFake(t), metric, items)
		if f.Form() != bigquery.VectorSearch {
			t.Fatalf("asks by %v", f.Form())
		}
		return f
	})
	similaritytest.TestFiltered(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item, without []string) similarity.Finder {
		f, err := openFake(t, newFake(t), metric, items).Where(similarity.Condition{Column: "id", Is: similarity.NotIn, Value: without})
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
}

// More equally near rows than are fetched at first.
func TestVectorSearchTies(t *testing.T) {
	const rows, k = 100, 3
	var items []similarity.Item
	for i := range rows {
		items = append(items, item(fmt.Sprintf("%03d", i), "s", 1, 0))
	}
	items = append(items, item("near", "s", 0, 0))
	f := newFake(t)
	finder := openFake(t, f, similarity.Euclidean, items, bigquery.WithForm(bigquery.VectorSearch))
	queries := []vector.Vector{items[rows].Vector, {Space: "s", Values: []float32{5, 0}}}
	hits, stats, err := finder.Search(t.Context(), queries, k)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"[{near 0} {000 1} {001 1}]", "[{000 4} {001 4} {002 4}]"} {
		if got := fmt.Sprint(hits[i]); got != want {
			t.Errorf("query %d: %v, want %s", i, got, want)
		}
	}
	if stats.Queries != 3 { // 11, 44 and 176 rows
		t.Errorf("%d queries", stats.Queries)
	}
}

// What is asked, word by word.
func TestGoldenSQL(t *testing.T) {
	items := []similarity.Item{item("a", "it's @space", 1, 2)}
	conditions := []similarity.Condition{
		{Column: "lang", Is: similarity.In, Value: []string{"en", "'); DROP TABLE x; --"}},
		{Column: "favorites", Is: similarity.AtLeast, Value: 10},
		{Column: "created_at", Is: similarity.Below, Value: time.Unix(0, 0)},
	}
	for _, c := range []struct {
		name    string
		metric  similarity.Metric
		options []bigquery.Option
		want    string
	}{
		{"distance", similarity.Euclidean, []bigquery.Option{bigquery.WithForm(bigquery.Distance)}, `
SELECT q, id, distance FROM (
  SELECT query.n AS q, item.|id| AS id, EUCLIDEAN_DISTANCE(item.|vector|, query.v) AS distance
  FROM |my-project.posts.vectors| AS item CROSS JOIN UNNEST(@queries) AS query
  WHERE item.|space| = @space AND item.|lang| IN UNNEST(@c0) AND item.|favorites| >= @c1 AND item.|created_at| < @c2
)
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY q ORDER BY distance, id) <= @k
ORDER BY q, distance, id`},
		{"vector search", similarity.Cosine, nil, `
SELECT query.n AS q, base.|id| AS id, distance
FROM VECTOR_SEARCH(
  (SELECT |id|, |vector| FROM |my-project.posts.vectors| WHERE |space| = @space AND |lang| IN UNNEST(@c0) AND |favorites| >= @c1 AND |created_at| < @c2),
  'vector',
  (SELECT n, v FROM UNNEST(@queries)),
  query_column_to_search => 'v',
  top_k => 13,
  distance_type => 'COSINE',
  options => '{"use_brute_force":true}')
ORDER BY q, distance, id`},
		{"by index", similarity.Euclidean, []bigquery.Option{bigquery.WithIndex(0.05)}, `
SELECT query.n AS q, base.|id| AS id, distance
FROM VECTOR_SEARCH(
  (SELECT |id|, |vector| FROM |my-project.posts.vectors| WHERE |space| = @space AND |lang| IN UNNEST(@c0) AND |favorites| >= @c1 AND |created_at| < @c2),
  'vector',
  (SELECT n, v FROM UNNEST(@queries)),
  query_column_to_search => 'v',
  top_k => 13,
  distance_type => 'EUCLIDEAN',
  options => '{"fraction_lists_to_search":0.05}')
ORDER BY q, distance, id`},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := newFake(t)
			f, err := openFake(t, fake, c.metric, items, append(c.options, bigquery.WithMaxBytesBilled(77<<20))...).Where(conditions...)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = f.Nearest(t.Context(), []vector.Vector{items[0].Vector, items[0].Vector}, 5)
			q := fake.last()
			if want := strings.ReplaceAll(c.want, "|", "`"); q.Query != want {
				t.Errorf("asked\n%s\nwant\n%s", q.Query, want)
			}
			if look := fake.asked[0]; look.MaximumBytesBilled != 77<<20 {
				t.Errorf("Open may be billed %d", look.MaximumBytesBilled)
			}
			if q.MaximumBytesBilled != 77<<20 || q.JobCreationMode != "JOB_CREATION_OPTIONAL" {
				t.Errorf("billed at most %d, job %q", q.MaximumBytesBilled, q.JobCreationMode)
			}
			var got []string
			for _, p := range q.QueryParameters {
				got = append(got, p.Name+" "+p.ParameterType.Type+" "+p.ParameterValue.Value)
			}
			want := []string{"queries ARRAY ", "space STRING it's @space", "c0 ARRAY ", "c1 INT64 10", "c2 TIMESTAMP 1970-01-01 00:00:00+00:00"}
			if c.name == "distance" {
				want = append(want, "k INT64 5")
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("parameters %q, want %q", got, want)
			}
			if texts := parameter(q, "c0").ParameterValue.ArrayValues; len(texts) != 2 || texts[1].Value != "'); DROP TABLE x; --" {
				t.Errorf("texts %v", texts)
			}
			if n := len(parameter(q, "queries").ParameterValue.ArrayValues); n != 2 {
				t.Errorf("%d queries", n)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	items := []similarity.Item{item("a", "s", 1, 2)}
	f := newFake(t)
	f.dryRun = func(string) (int64, *failure) {
		return 0, &failure{400, "invalidQuery", "Function not found: VECTOR_SEARCH"}
	}
	if form := openFake(t, f, similarity.Euclidean, items).Form(); form != bigquery.Distance {
		t.Errorf("an endpoint without VECTOR_SEARCH is asked by %v", form)
	}
	if _, err := bigquery.Open(t.Context(), f.table(t), "s", similarity.Euclidean, bigquery.WithIndex(0)); err == nil || !strings.Contains(err.Error(), "WithIndex") {
		t.Errorf("an index without VECTOR_SEARCH: %v", err)
	}
	f.dryRun = func(string) (int64, *failure) { return 0, &failure{403, "accessDenied", "no"} }
	if _, err := bigquery.Open(t.Context(), f.table(t), "s", similarity.Euclidean); err == nil || !strings.Contains(err.Error(), "roles/") {
		t.Errorf("not allowed to ask: %v", err)
	}
	emulated := open(t, newTable(t), similarity.Euclidean, items)
	if emulated.Form() != bigquery.Distance {
		t.Errorf("the emulator is asked by %v", emulated.Form())
	}
}

func TestOptionErrors(t *testing.T) {
	f := newFake(t)
	for _, c := range []struct {
		want    string
		options []bigquery.Option
	}{
		{"WithForm", []bigquery.Option{bigquery.WithForm(9)}},
		{"WithIndex", []bigquery.Option{bigquery.WithIndex(0.5), bigquery.WithForm(bigquery.Distance)}},
		{"WithIndex", []bigquery.Option{bigquery.WithIndex(1)}},
		{"WithMaxBytesBilled", []bigquery.Option{bigquery.WithMaxBytesBilled(-1)}},
	} {
		if _, err := bigquery.Open(t.Context(), f.table(t), "s", similarity.Euclidean, c.options...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one that names %s", err, c.want)
		}
	}
}

// Conditions on further columns, on the emulator.
func TestWhere(t *testing.T) {
	type row struct {
		ID        string           `bigquery:"id"`
		Lang      bq.NullString    `bigquery:"lang"`
		Favorites bq.NullInt64     `bigquery:"favorites"`
		Score     float64          `bigquery:"score"`
		Reply     bool             `bigquery:"reply"`
		At        bq.NullTimestamp `bigquery:"created"`
	}
	table := newTable(t)
	if _, err := (bigquery.Layout{Table: table, Row: row{}}).Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := table.Client.Query("INSERT INTO `" + table.Dataset + ".vectors` (id, space, vector, lang, favorites, score, reply, created) VALUES" +
		"('a', 's', [1.0], 'en', 1, 0.5, TRUE, TIMESTAMP '2020-01-01'), ('b', 's', [2.0], 'de', 2, 1.5, FALSE, TIMESTAMP '2021-01-01'), ('c', 's', [3.0], NULL, NULL, 2.5, TRUE, NULL)").Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := bigquery.Open(t.Context(), table, "s", similarity.Euclidean)
	if err != nil {
		t.Fatal(err)
	}
	similaritytest.TestWhere(t, func(conditions ...similarity.Condition) (similarity.Finder, error) { return f.Where(conditions...) })
	if _, err := f.Where(similarity.Condition{Column: "a` OR TRUE --", Value: 1}); err == nil {
		t.Error("a column with a backquote was taken")
	}
}
