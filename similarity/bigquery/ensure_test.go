package bigquery_test

import (
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	rest "google.golang.org/api/bigquery/v2"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/bigquery"
)

type post struct {
	Text      string       `bigquery:"text"`
	CreatedAt time.Time    `bigquery:"created_at"`
	Favorites bq.NullInt64 `bigquery:"favorites"`
	Tags      []string     `bigquery:"tags"`
	Author    struct{ Name string }
}

// On the emulator: everything, and nothing.
func TestEnsure(t *testing.T) {
	layout := bigquery.Layout{Table: newTable(t), Row: post{}, PartitionBy: "created_at"}
	plan, err := layout.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if what(plan) != "create data set, create table" {
		t.Errorf("planned %v", plan)
	}
	if again, err := layout.Plan(t.Context()); err != nil || what(again) != what(plan) {
		t.Errorf("a plan changed something: %v, %v", again, err)
	}
	for _, want := range []string{"create data set, create table", ""} {
		if done, err := layout.Ensure(t.Context()); err != nil || what(done) != want {
			t.Errorf("done %v, %v; want %q", done, err, want)
		}
	}
	table, err := layout.Table.Client.Dataset(layout.Table.Dataset).Table("vectors").Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if table.TimePartitioning == nil || table.TimePartitioning.Field != "created_at" || table.Clustering == nil || strings.Join(table.Clustering.Fields, " ") != "space id" || len(table.Schema) != 8 {
		t.Errorf("the table is %+v, %+v, %d columns", table.TimePartitioning, table.Clustering, len(table.Schema))
	}
	// A Finder and a Load take what was made.
	plain := bigquery.Layout{Table: newTable(t)}
	if _, err := plain.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	open(t, plain.Table, similarity.Euclidean, []similarity.Item{item("a", "s", 1)})
	if done, err := plain.Ensure(t.Context()); err != nil || len(done) != 0 {
		t.Errorf("after a load: %v, %v", done, err)
	}
}

// what names the changes, without the data set's and the table's own names.
func what(changes []bigquery.Change) string {
	var all []string
	for _, c := range changes {
		w := c.What
		if strings.HasPrefix(w, "create data set") || strings.HasPrefix(w, "create table") {
			w = strings.Join(strings.Fields(w)[:strings.Count(w, " ")], " ")
		}
		all = append(all, w)
	}
	return strings.Join(all, ", ")
}

func TestGoldenDDL(t *testing.T) {
	fake := newFake(t)
	layout := bigquery.Layout{
		Table: fake.table(t), Row: post{}, PartitionBy: "created_at", ClusterBy: []string{"space"},
		Index: &bigquery.VectorIndex{Metric: similarity.Cosine, Lists: 100, Store: []string{"favorites", "id"}},
	}
	layout.Table.Client.Location = "EU"
	done, err := layout.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"CREATE SCHEMA IF NOT EXISTS |my-project.posts| OPTIONS (location = 'EU')",
		`CREATE TABLE IF NOT EXISTS |my-project.posts.vectors| (
  |text| STRING NOT NULL,
  |created_at| TIMESTAMP NOT NULL,
  |favorites| INT64,
  |tags| ARRAY<STRING>,
  |Author| STRUCT<|Name| STRING> NOT NULL,
  |id| STRING NOT NULL,
  |space| STRING NOT NULL,
  |vector| ARRAY<FLOAT64>
)
PARTITION BY DATE(|created_at|)
CLUSTER BY |space|`,
		`CREATE VECTOR INDEX IF NOT EXISTS |vector_index| ON |my-project.posts.vectors|(|vector|)
STORING (|id|, |space|, |favorites|)
OPTIONS (index_type = 'IVF', distance_type = 'COSINE', ivf_options = '{"num_lists":100}')`,
	}
	if len(done) != len(want) || len(fake.asked) != 1 {
		t.Fatalf("done %v, asked %d times", done, len(fake.asked))
	}
	for i, w := range want {
		if w = strings.ReplaceAll(w, "|", "`"); done[i].SQL != w {
			t.Errorf("said\n%s\nwant\n%s", done[i].SQL, w)
		}
	}
	if fake.asked[0].Query != done[2].SQL {
		t.Errorf("ran\n%s", fake.asked[0].Query)
	}
	made := fake.tables["posts.vectors"]
	if made == nil || made.TimePartitioning.Field != "created_at" || made.TimePartitioning.Type != "DAY" || strings.Join(made.Clustering.Fields, " ") != "space" || len(made.Schema.Fields) != 8 {
		t.Errorf("made %+v", made)
	}
	delete(fake.tables, "posts.vectors")
	layout.Index = &bigquery.VectorIndex{Type: bigquery.TreeAH, Leaf: 1000, Name: "tree"}
	plan, err := layout.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if sql := plan[1].SQL; !strings.HasPrefix(sql, "CREATE VECTOR INDEX IF NOT EXISTS `tree`") ||
		!strings.HasSuffix(sql, `OPTIONS (index_type = 'TREE_AH', distance_type = 'EUCLIDEAN', tree_ah_options = '{"leaf_node_embedding_count":1000}')`) {
		t.Errorf("planned %s", sql)
	}
}

// A table that is there, in the fake, and is otherwise.
func TestEnsureDifferences(t *testing.T) {
	fake := newFake(t)
	fake.tables["posts"] = nil
	there := &rest.Table{
		Schema:     fields("ID STRING", "space STRING", "lang STRING"),
		Clustering: &rest.Clustering{Fields: []string{"space", "id"}},
	}
	there.Schema.Fields = append(there.Schema.Fields, &rest.TableFieldSchema{Name: "vector", Type: "FLOAT", Mode: "REPEATED"})
	fake.tables["posts.vectors"] = there
	const ddl = "CREATE VECTOR INDEX `vector_index` ON `my-project.posts.vectors`(vector) OPTIONS (distance_type=\"EUCLIDEAN\", index_type=\"IVF\")"
	good := bigquery.Layout{Table: fake.table(t), Index: &bigquery.VectorIndex{}}

	if plan, err := good.Plan(t.Context()); err != nil || what(plan) != "create vector index vector_index" {
		t.Errorf("planned %v, %v", plan, err)
	}
	fake.indexes = [][]any{{"vector_index", "ACTIVE", "", 80, 1000, ddl}}
	if plan, err := good.Plan(t.Context()); err != nil || len(plan) != 0 {
		t.Errorf("planned %v, %v", plan, err)
	}
	status, err := good.Table.Indexes(t.Context())
	if want := (bigquery.IndexStatus{Name: "vector_index", Column: "vector", State: "ACTIVE", Coverage: 80, Unindexed: 1000, DDL: ddl}); err != nil || len(status) != 1 || status[0] != want {
		t.Errorf("indexes %+v, %v", status, err)
	}
	for name, c := range map[string]struct {
		change func(*bigquery.Layout)
		want   string
	}{
		"index's metric": {func(l *bigquery.Layout) { l.Index = &bigquery.VectorIndex{Metric: similarity.Cosine} }, "DROP VECTOR INDEX"},
		"index's type":   {func(l *bigquery.Layout) { l.Index = &bigquery.VectorIndex{Type: bigquery.TreeAH} }, "DROP VECTOR INDEX"},
		"index's name":   {func(l *bigquery.Layout) { l.Index = &bigquery.VectorIndex{Name: "mine"} }, "has the vector index vector_index"},
		"type": {func(l *bigquery.Layout) {
			l.Row = struct {
				Lang bq.NullInt64 `bigquery:"lang"`
			}{}
		}, "column lang is STRING where INT64"},
		"required": {func(l *bigquery.Layout) {
			l.Row = struct {
				N int `bigquery:"n"`
			}{}
		}, "column n is missing, and NOT NULL"},
		"clusters": {func(l *bigquery.Layout) { l.ClusterBy = []string{"id"} }, "clusters are by space, id where id is"},
		"partitions": {func(l *bigquery.Layout) {
			l.Row = struct {
				At bq.NullTimestamp `bigquery:"at"`
			}{}
			l.PartitionBy = "at"
		}, "partitions are by nothing where at"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			c.change(&bad)
			for _, try := range []func() ([]bigquery.Change, error){
				func() ([]bigquery.Change, error) { return bad.Plan(t.Context()) },
				func() ([]bigquery.Change, error) { return bad.Ensure(t.Context()) },
			} {
				if changes, err := try(); err == nil || !strings.Contains(err.Error(), c.want) || len(changes) > 0 {
					t.Errorf("changes %v, error %v, want one with %q", changes, err, c.want)
				}
			}
		})
	}
}

// Columns that came later. (The emulator adds them, and does not tell.)
func TestEnsureAddsColumns(t *testing.T) {
	fake := newFake(t)
	layout := bigquery.Layout{Table: fake.table(t), Row: post{}}
	if _, err := layout.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	layout.Row = struct {
		post
		Lang  bq.NullString `bigquery:"lang"`
		Links []string      `bigquery:"links"`
	}{}
	for _, want := range []string{"add column lang, add column links", ""} {
		if done, err := layout.Ensure(t.Context()); err != nil || what(done) != want {
			t.Errorf("done %v, %v; want %q", done, err, want)
		}
	}
	if sql := fake.last().Query; sql != "ALTER TABLE `my-project.posts.vectors` ADD COLUMN IF NOT EXISTS `links` ARRAY<STRING>" {
		t.Errorf("ran %s", sql)
	}
}

func TestLayoutErrors(t *testing.T) {
	fake := newFake(t)
	for name, c := range map[string]func(*bigquery.Layout){
		"Dataset":      func(l *bigquery.Layout) { l.Table.Dataset = "x`" },
		"ClusterBy":    func(l *bigquery.Layout) { l.ClusterBy = []string{"nowhere"} },
		"at most 4":    func(l *bigquery.Layout) { l.ClusterBy = []string{"id", "space", "id", "space", "id"} },
		"PartitionBy":  func(l *bigquery.Layout) { l.PartitionBy = "id" },
		"Row":          func(l *bigquery.Layout) { l.Row = 7 },
		"must be":      func(l *bigquery.Layout) { l.Row = struct{ Vector string }{} },
		"Index.Name":   func(l *bigquery.Layout) { l.Index = &bigquery.VectorIndex{Name: "a b"} },
		"Index.Type":   func(l *bigquery.Layout) { l.Index = &bigquery.VectorIndex{Type: 7} },
		"Index.Metric": func(l *bigquery.Layout) { l.Index = &bigquery.VectorIndex{Metric: similarity.InnerProduct} },
		"Index.Lists":  func(l *bigquery.Layout) { l.Index = &bigquery.VectorIndex{Lists: 5001} },
		"Index.Leaf":   func(l *bigquery.Layout) { l.Index = &bigquery.VectorIndex{Leaf: 1000} },
		"Index.Store":  func(l *bigquery.Layout) { l.Index = &bigquery.VectorIndex{Store: []string{"x"}} },
		"Location":     func(l *bigquery.Layout) { l.Table.Client.Location = "EU'" },
	} {
		bad := bigquery.Layout{Table: fake.table(t)}
		c(&bad)
		if _, err := bad.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v does not name it", name, err)
		}
	}
	if len(fake.asked) > 0 {
		t.Errorf("asked %s", fake.last().Query)
	}
}
