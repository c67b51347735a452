package bigquery_test

import (
	"strings"
	"testing"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/bigquery"
	"github.com/millrace-go/millrace/similarity/vector"
)

// Whatever names are given: they are refused, or stand in the statements as
// they are, between back-quotes, and change nothing else of them.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"vectors", "a`b", "a b", "x; DROP TABLE y", "é", "`", "\\`", "a\x00", "--", "_", "A1", "{table}", "{id}", strings.Repeat("a", 301), "a\n", "`.`"} {
		f.Add(s, 0)
		f.Add(s, 3)
	}
	const mark = "mark" // in the places of names
	statements := func(t *testing.T, name string, field int) ([]string, error) {
		fake := newFake(t)
		table := fake.table(t)
		fake.metric, fake.items = similarity.Euclidean, []similarity.Item{item("a", "s", 1)}
		column, index := "lang", "index1"
		*[]*string{&table.Dataset, &table.Name, &table.IDColumn, &table.SpaceColumn, &table.VectorColumn, &column, &index}[field] = name
		finder, err := bigquery.Open(t.Context(), table, "s", similarity.Euclidean, bigquery.WithForm(bigquery.VectorSearch))
		if err != nil {
			return nil, err
		}
		if finder, err = finder.Where(similarity.Condition{Column: column, Value: "v"}); err != nil {
			return nil, err
		}
		if _, err := finder.Nearest(t.Context(), []vector.Vector{fake.items[0].Vector}, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := (bigquery.Layout{Table: table, Index: &bigquery.VectorIndex{Name: index}}).Ensure(t.Context()); err != nil {
			return nil, err
		}
		var all []string
		for _, q := range fake.asked {
			all = append(all, q.Query)
		}
		return all, nil
	}
	f.Fuzz(func(t *testing.T, name string, field int) {
		field &= 0xff
		field %= 7
		got, err := statements(t, name, field)
		if err != nil {
			return
		}
		if name == "" { // a default
			return
		}
		want, err := statements(t, mark, field)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			// With the name in the mark's places the statements are the same.
			for _, quote := range []string{"`", "'", "."} {
				want[i] = strings.ReplaceAll(want[i], quote+mark, quote+name)
			}
			if got[i] != want[i] {
				t.Errorf("name %q makes\n%s\nwant\n%s", name, got[i], want[i])
			}
		}
		if strings.ContainsAny(name, "`'\"\\;\n {}") {
			t.Errorf("name %q was taken", name)
		}
	})
}

// Whatever texts are given travel in parameters, byte for byte.
func FuzzTexts(f *testing.F) {
	for _, s := range []string{"s", "' OR ''='", "`", "@k", "\\'", "s\x00", "{table}", "ünïcode ✓", "--"} {
		f.Add(s, s)
	}
	fake := newFake(f)
	f.Fuzz(func(t *testing.T, space, value string) {
		fake.metric, fake.items = similarity.Euclidean, []similarity.Item{item("a", space, 1)}
		if fake.items[0].CheckIn(similarity.Euclidean, space, 1) != nil {
			return
		}
		finder, err := bigquery.Open(t.Context(), fake.table(t), space, similarity.Euclidean, bigquery.WithForm(bigquery.VectorSearch))
		if err != nil {
			t.Fatal(err)
		}
		finder, err = finder.Where(similarity.Condition{Column: "text", Value: value})
		if err != nil {
			return // not UTF-8
		}
		if _, err := finder.Nearest(t.Context(), []vector.Vector{fake.items[0].Vector}, 1); err != nil {
			t.Fatal(err)
		}
		q := fake.last()
		if q.Query != textQuery {
			t.Errorf("asked %s", q.Query)
		}
		if a, b := parameter(q, "space").ParameterValue.Value, parameter(q, "c0").ParameterValue.Value; a != space || b != value {
			t.Errorf("parameters %q and %q, want %q and %q", a, b, space, value)
		}
	})
}

const textQuery = "\nSELECT query.n AS q, base.`id` AS id, distance\nFROM VECTOR_SEARCH(\n" +
	"  (SELECT `id`, `vector` FROM `my-project.posts.vectors` WHERE `space` = @space AND `text` = @c0),\n" +
	"  'vector',\n  (SELECT n, v FROM UNNEST(@queries)),\n  query_column_to_search => 'v',\n  top_k => 9,\n  distance_type => 'EUCLIDEAN',\n" +
	"  options => '{\"use_brute_force\":true}')\nORDER BY q, distance, id"
