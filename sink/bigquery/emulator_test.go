package bigquery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/millrace-go/millrace/internal/emulator"
	"github.com/millrace-go/millrace/similarity"
	rows "github.com/millrace-go/millrace/similarity/bigquery"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/sink"
	millrace "github.com/millrace-go/millrace/sink/bigquery"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// TestOnTheEmulator writes by each sink to a table of a BigQuery that is none
// of ours, and reads it back by SQL.
func TestOnTheEmulator(t *testing.T) {
	e, err := emulator.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	client, err := e.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	storage, err := storageClient(t.Context(), e.Storage)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = storage.Close() })
	if err := client.Dataset("d").Create(t.Context(), &bigquery.DatasetMetadata{}); err != nil {
		t.Fatal(err)
	}
	tables := 0
	table := func(tb testing.TB) millrace.Table {
		tb.Helper()
		tables++
		name := fmt.Sprint("t", tables)
		schema, err := bigquery.InferSchema(item{})
		if err == nil {
			err = client.Dataset("d").Table(name).Create(tb.Context(), &bigquery.TableMetadata{Schema: schema})
		}
		if err != nil {
			tb.Fatal(err)
		}
		return millrace.Table{Client: client, Storage: storage, Dataset: "d", Name: name, Linger: 20 * time.Millisecond}
	}
	read := func(tb testing.TB, name string) (all []item) {
		tb.Helper()
		found, err := client.Query("SELECT id, n FROM d." + name).Read(context.WithoutCancel(tb.Context()))
		for err == nil {
			var it item
			if err = found.Next(&it); err == nil {
				all = append(all, it)
			}
		}
		if !errors.Is(err, iterator.Done) {
			tb.Fatal(err)
		}
		return all
	}

	var loaded []int
	for _, c := range []struct {
		name string
		sink func(millrace.Table) stage.Sink[item]
	}{
		{"Load", func(t millrace.Table) stage.Sink[item] {
			return millrace.Load[item](t, func(rows int) { loaded = append(loaded, rows) })
		}},
		{"Insert", millrace.Insert[item]},
		{"Append", millrace.Append[item]},
	} {
		t.Run(c.name, func(t *testing.T) {
			const n = 3000
			var values []item
			for i := range n {
				values = append(values, itemAt(i))
			}
			to := table(t)
			s := stage.Stage[item, item]{
				Source: source.Slice(values), Sink: c.sink(to), Logger: quiet, BatchSize: 100,
				Transform: stage.Map(func(_ context.Context, it item) (item, error) { return it, nil }),
			}
			if err := stage.Run(t.Context(), &s); err != nil {
				t.Fatal(err)
			}
			got := read(t, to.Name)
			slices.SortFunc(got, func(a, b item) int { return int(a.N - b.N) })
			if !slices.Equal(got, values) {
				t.Errorf("%d rows, not the %d that were written", len(got), n)
			}
			if c.name == "Load" && (len(loaded) == 0 || loaded[len(loaded)-1] != n) {
				t.Errorf("progress was %v", loaded)
			}
		})
	}
	t.Run("a row that is refused", func(t *testing.T) {
		// The column takes numbers only, and one of the rows has none.
		type text struct {
			ID string `bigquery:"id"`
			N  string `bigquery:"n"`
		}
		for name, sink := range map[string]func(millrace.Table) stage.Sink[text]{
			"Load": func(t millrace.Table) stage.Sink[text] { return millrace.Load[text](t, nil) },
		} {
			to := table(t)
			s := sink(to)
			w, err := s.Targets[0].Open(t.Context(), stage.Env{Stage: "test", Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			var raws []stage.Raw
			for i := range 9 {
				row := text{fmt.Sprintf("item %d", i), fmt.Sprint(i)}
				if i == 5 {
					row.N = "five"
				}
				if err := s.Encode(row, &stage.Raw{Topic: "in", Offset: int64(i)}, func(_ int, r stage.Raw) { raws = append(raws, r) }); err != nil {
					t.Fatal(err)
				}
			}
			a := &answers{tb: t, errs: make([]error, len(raws)), left: len(raws), all: make(chan struct{})}
			w.Write(raws, a.done)
			for i, err := range a.wait() {
				if bad := i == 5; bad != stage.IsPermanent(err) || !bad && err != nil {
					t.Errorf("%s, row %d: %v", name, i, err)
				}
			}
			if err := w.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := read(t, to.Name); len(got) != 8 {
				t.Errorf("%s: %d rows, want 8", name, len(got))
			}
		}
	})
	t.Run("AppendOnce from Kafka", func(t *testing.T) {
		const n = 300
		b := broker(t)
		feed(t, b, 0, n)
		want := make(map[int64]bool)
		good, dead := outcome(n)
		for _, i := range append(good, dead...) {
			if i%17 != 4 { // the emulator refuses no number
				want[int64(i)] = true
			}
		}
		to := table(t)
		s := numbers(b.Cluster(), to)
		s.Source = source.Kafka(b.Cluster(), stage.Topic[string]{Name: "in", Codec: stage.String()}, "group", source.UntilEnd())
		if err := stage.Run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		got := read(t, to.Name)
		for _, it := range got {
			if !want[it.N] {
				t.Errorf("%+v is there twice, or should not be", it)
			}
			delete(want, it.N)
		}
		if len(want) > 0 {
			t.Errorf("%d of %d rows are missing", len(want), len(got)+len(want))
		}
	})
	t.Run("the tables beside the topics", func(t *testing.T) {
		ctx := t.Context()
		create := func(name string, row any) millrace.Table {
			schema, err := bigquery.InferSchema(row)
			if err == nil {
				err = client.Dataset("d").Table(name).Create(ctx, &bigquery.TableMetadata{Schema: schema})
			}
			if err != nil {
				t.Fatal(err)
			}
			return millrace.Table{Client: client, Storage: storage, Dataset: "d", Name: name}
		}
		testPaperTables(t, create("embeddings", rows.EmbeddingRow{}), create("results", rows.ResultRow{}))
	})
	t.Run("AppendOnce", func(t *testing.T) {
		stagetest.TestSink(t, func(tb testing.TB) stagetest.SinkFixture[item] {
			to := table(tb)
			return stagetest.SinkFixture[item]{
				Sink: millrace.AppendOnce[item](to), Value: itemAt, Lanes: true, Unordered: true,
				Without: stagetest.Keys | stagetest.Headers | stagetest.Times,
				Written: func() (all []stage.Record[item]) {
					for _, it := range read(tb, to.Name) {
						all = append(all, stage.Record[item]{Value: it})
					}
					return all
				},
			}
		})
	})
}

// testPaperTables is the paper's app, with its two tables beside the topics: two
// ask the same, and each gets an answer of its own, by its id. (The results go by
// insertAll, since the emulator's Storage API takes no structs.)
func testPaperTables(t *testing.T, embeddings, results millrace.Table) {
	t.Helper()
	type question struct{ ID, Text string }
	type answer struct {
		ID   string
		Hits []similarity.Hit
	}
	b := kafkatest.Start(t, "vectors", "answers")
	vectors := stage.Topic[similarity.Item]{Name: "vectors", Codec: stage.JSON[similarity.Item]()}
	answers := stage.Topic[answer]{Name: "answers", Codec: stage.JSON[answer]()}
	at := time.Date(2026, 11, 26, 5, 0, 0, 0, time.UTC)
	embed := stage.Map(func(_ context.Context, q question) (similarity.Item, error) {
		return similarity.Item{ID: q.ID, Vector: vector.Vector{Space: "s", Values: []float32{float32(len(q.Text)), 0.1}}}, nil
	})
	nearest := stage.Map(func(_ context.Context, it similarity.Item) (answer, error) {
		return answer{it.ID, []similarity.Hit{{ID: "near " + it.ID, Distance: 0.25}, {ID: "far", Distance: 4}}}, nil
	})
	err := stage.Run(t.Context(), &stage.Stage[question, similarity.Item]{
		Source:    source.Slice([]question{{"q1", "the same"}, {"q2", "the same"}, {"q3", "another"}}),
		Transform: embed, Logger: quiet,
		Sink: sink.Tee(sink.Kafka(b.Cluster(), vectors), sink.As(millrace.Append[rows.EmbeddingRow](embeddings), rows.NewEmbeddingRow)),
	})
	if err == nil {
		err = stage.Run(t.Context(), &stage.Stage[similarity.Item, answer]{
			Source: source.Kafka(b.Cluster(), vectors, "nearest", source.UntilEnd()), Transform: nearest, Logger: quiet,
			Sink: sink.Tee(sink.Kafka(b.Cluster(), answers), sink.As(millrace.Insert[rows.ResultRow](results), func(a answer) rows.ResultRow {
				return rows.NewResultRow(a.ID, at, a.Hits)
			})),
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b.Consume(t, "answers", 3)); n != 3 {
		t.Errorf("%d answers in the topic", n)
	}
	found, err := millrace.Lookup[rows.ResultRow](t.Context(), results, "request_id", "q2", "q9", "q'; DROP TABLE results")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].RequestID != "q2" || !found[0].AnsweredAt.Equal(at) || len(found[0].Hits) != 2 || found[0].Hits[0] != (rows.HitRow{ID: "near q2", Distance: 0.25}) {
		t.Errorf("found %+v", found)
	}
	vecs, err := millrace.Lookup[rows.EmbeddingRow](t.Context(), embeddings, "id", "q3", "q1")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(vecs, func(a, b rows.EmbeddingRow) int { return strings.Compare(a.ID, b.ID) })
	if len(vecs) != 2 || vecs[1].ID != "q3" || !slices.Equal(vecs[1].Item().Vector.Values, []float32{7, 0.1}) || vecs[1].Space != "s" {
		t.Errorf("found %+v", vecs)
	}
	if _, err := millrace.Lookup[rows.EmbeddingRow](t.Context(), embeddings, "id` OR 1=1", "q3"); err == nil || !strings.Contains(err.Error(), "does not match") {
		t.Errorf("a column that is none: %v", err)
	}
	if _, err := millrace.Lookup[*rows.EmbeddingRow](t.Context(), embeddings, "id", "q3"); err == nil || !strings.Contains(err.Error(), "is none") {
		t.Errorf("a pointer: %v", err)
	}
	if none, err := millrace.Lookup[rows.EmbeddingRow](t.Context(), embeddings, "id"); err != nil || none != nil {
		t.Errorf("no ids: %v, %v", none, err)
	}
}
