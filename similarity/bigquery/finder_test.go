package bigquery_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/internal/emulator"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/bigquery"
	"github.com/millrace-go/millrace/similarity/similaritytest"
	"github.com/millrace-go/millrace/similarity/vector"
)

var (
	// One emulator for all tests: it takes seconds to start.
	running = sync.OnceValues(func() (*emulator.Emulator, error) { return emulator.Start(context.Background(), "") })
	started atomic.Bool
)

func TestMain(m *testing.M) {
	code := m.Run()
	if started.Load() {
		if e, err := running(); err == nil {
			_ = e.Close()
		}
	}
	os.Exit(code)
}

var tables atomic.Int32

// newTable names a table that is not there yet.
func newTable(t testing.TB) bigquery.Table {
	t.Helper()
	started.Store(true)
	e, err := running()
	if err != nil {
		t.Fatal(err)
	}
	client, err := e.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return bigquery.Table{Client: client, Dataset: fmt.Sprintf("data_%d", tables.Add(1)), Name: "vectors"}
}

func open(t testing.TB, table bigquery.Table, metric similarity.Metric, items []similarity.Item) *bigquery.Finder {
	t.Helper()
	if err := table.Load(t.Context(), items, nil); err != nil {
		t.Fatal(err)
	}
	f, err := bigquery.Open(t.Context(), table, items[0].Vector.Space, metric)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func item(id, space string, values ...float32) similarity.Item {
	return similarity.Item{ID: id, Vector: vector.Vector{Space: space, Values: values}}
}

func TestIsAFinder(t *testing.T) {
	load := func(t *testing.T, metric similarity.Metric, items []similarity.Item) *bigquery.Finder {
		table := newTable(t)
		// Rows of another space and dimension must not be in the way.
		if err := table.Load(t.Context(), []similarity.Item{item("alien", "alien", 0, 1)}, nil); err != nil {
			t.Fatal(err)
		}
		return open(t, table, metric, items)
	}
	similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
		return load(t, metric, items)
	})
	var all *bigquery.Finder // the items are always the same
	similaritytest.TestFiltered(t, func(tt *testing.T, metric similarity.Metric, items []similarity.Item, without []string) similarity.Finder {
		if all == nil {
			all = load(t, metric, items)
		}
		f, err := all.Where(similarity.Condition{Column: "id", Is: similarity.NotIn, Value: without})
		if err != nil {
			tt.Fatal(err)
		}
		return f
	})
}

func TestOwnColumnNames(t *testing.T) {
	table := newTable(t)
	table.IDColumn, table.SpaceColumn, table.VectorColumn = "select", "from", "array"
	f := open(t, table, similarity.Euclidean, []similarity.Item{item("a", "s", 3, 4)})
	hits, err := f.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{0, 0}}}, 1)
	if err != nil || len(hits[0]) != 1 || hits[0][0] != (similarity.Hit{ID: "a", Distance: 5}) {
		t.Fatalf("got %v, %v", hits, err)
	}
}

func TestLoadIsIdempotentAndGoesOn(t *testing.T) {
	table := newTable(t)
	items := []similarity.Item{item("a", "s", 1, 0), item("b", "s", 2, 0), item("b", "s", 3, 0), item("c", "s", 4, 0)}
	count := func() int64 {
		t.Helper()
		rows, err := table.Client.Query("SELECT COUNT(*) FROM " + table.Dataset + ".vectors").Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var row []bq.Value
		if err := rows.Next(&row); err != nil {
			t.Fatal(err)
		}
		return row[0].(int64)
	}
	var calls []string
	progress := func(done, total int) { calls = append(calls, fmt.Sprintf("%d/%d", done, total)) }
	for i, c := range []struct {
		items []similarity.Item
		rows  int64
		calls string
	}{
		{items[:1], 1, "0/1 1/1"},
		{items, 3, "1/3 3/3"},
		{items, 3, "3/3"},
		{[]similarity.Item{item("a", "other", 9)}, 4, "0/1 1/1"},
		{nil, 4, ""},
	} {
		calls = nil
		if err := table.Load(t.Context(), c.items, progress); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(calls, " "); count() != c.rows || got != c.calls {
			t.Fatalf("load %d: %d rows, progress %q; want %d, %q", i, count(), got, c.rows, c.calls)
		}
	}
	f, err := bigquery.Open(t.Context(), table, "s", similarity.Euclidean)
	if err != nil {
		t.Fatal(err)
	}
	hits, err := f.Nearest(t.Context(), []vector.Vector{items[2].Vector}, 1)
	if err != nil || hits[0][0] != (similarity.Hit{ID: "b"}) {
		t.Fatalf("got %v, %v; want the later b", hits, err)
	}
	if err := table.Load(t.Context(), []similarity.Item{item("d", "s", 1, 2, 3)}, nil); err == nil || !strings.Contains(err.Error(), "of 2 values where 3") {
		t.Errorf("another dimension in the same space: error %v", err)
	}
	if err := table.Load(t.Context(), []similarity.Item{items[0], item("x", "t", 1, 2)}, nil); err == nil || !strings.Contains(err.Error(), "item 1") {
		t.Errorf("two spaces in one load: error %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	table := newTable(t)
	if _, err := bigquery.Open(t.Context(), table, "s", similarity.Euclidean); err == nil || !strings.Contains(err.Error(), table.Dataset) {
		t.Errorf("no such table: error %v", err)
	}
	if err := table.Load(t.Context(), []similarity.Item{item("zero", "s", 0, 0), item("one", "s", 0, 1)}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := bigquery.Open(t.Context(), table, "s", similarity.Cosine); err == nil || !strings.Contains(err.Error(), "1 vectors of zeros") {
		t.Errorf("zeros by cosine: error %v", err)
	}
	if _, err := bigquery.Open(t.Context(), table, "s", similarity.Metric(9)); err == nil {
		t.Error("opened by metric 9")
	}
	f, err := bigquery.Open(t.Context(), table, "nothing of this space", similarity.Euclidean)
	if err != nil {
		t.Fatal(err)
	}
	hits, err := f.Nearest(t.Context(), []vector.Vector{{Space: "any", Values: []float32{1}}}, 1)
	if err != nil || len(hits) != 1 || len(hits[0]) != 0 {
		t.Errorf("over no rows: %v, %v", hits, err)
	}
}

// A service that does not answer must not hang a stage: the client by itself
// tries again for ever.
func TestTimeout(t *testing.T) {
	table := newTable(t)
	f0 := open(t, table, similarity.Euclidean, []similarity.Item{item("a", "s", 1)})
	if _, err := f0.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{1}}}, 1); err != nil {
		t.Fatal(err)
	}
	table.Timeout = time.Nanosecond
	if _, err := bigquery.Open(t.Context(), table, "s", similarity.Euclidean); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want a deadline exceeded", err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	good := newTable(t)
	for name, change := range map[string]func(*bigquery.Table){
		"Client":       func(b *bigquery.Table) { b.Client = nil },
		"Project":      func(b *bigquery.Table) { b.Project = "p`q" },
		"Dataset":      func(b *bigquery.Table) { b.Dataset = "" },
		"Name":         func(b *bigquery.Table) { b.Name = "t` WHERE 1=1; --" },
		"IDColumn":     func(b *bigquery.Table) { b.IDColumn = "id\n" },
		"SpaceColumn":  func(b *bigquery.Table) { b.SpaceColumn = "a b" },
		"VectorColumn": func(b *bigquery.Table) { b.VectorColumn = "0x" },
		"Timeout":      func(b *bigquery.Table) { b.Timeout = -1 },
		"must differ":  func(b *bigquery.Table) { b.IDColumn = "Space" },
	} {
		bad := good
		change(&bad)
		_, openErr := bigquery.Open(t.Context(), bad, "s", similarity.Euclidean)
		loadErr := bad.Load(t.Context(), nil, nil)
		for _, err := range []error{openErr, loadErr} {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: error %v does not name it", name, err)
			}
		}
	}
}

// A batch that is too large for one query is split, and put together again.
func TestLargeBatch(t *testing.T) {
	var items []similarity.Item
	var queries []vector.Vector
	for i := range 7 {
		items = append(items, item(fmt.Sprint(i), "s", float32(i), 1))
		queries = append(queries, items[i].Vector)
	}
	f := open(t, newTable(t), similarity.Euclidean, items)
	for _, batch := range []int{1, 3, 7} {
		bigquery.SetBatch(f, batch)
		hits, err := f.Nearest(t.Context(), queries, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i := range hits {
			if len(hits[i]) != 1 || hits[i][0] != (similarity.Hit{ID: items[i].ID}) {
				t.Fatalf("batches of %d, query %d: got %v, want %s at distance 0", batch, i, hits[i], items[i].ID)
			}
		}
	}
}

// More than a request's worth of rows goes up in chunks.
func TestLoadInChunks(t *testing.T) {
	const rows, dim = 1_000, 1_000 // 20 MB of JSON; a chunk is 16 MB
	rng := rand.New(rand.NewPCG(5, 0))
	items := make([]similarity.Item, rows)
	for i := range items {
		values := make([]float32, dim)
		for j := range values {
			values[j] = float32(rng.NormFloat64())
		}
		items[i] = item(fmt.Sprintf("%04d", i), "s", values...)
	}
	queries := []vector.Vector{items[0].Vector, items[rows/2].Vector, items[rows-1].Vector}
	hits, err := open(t, newTable(t), similarity.Euclidean, items).Nearest(t.Context(), queries, 2*rows)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"0000", "0500", "0999"} {
		if len(hits[i]) != rows || hits[i][0] != (similarity.Hit{ID: id}) {
			t.Fatalf("query %d: %d hits, the first %v; want %d and %s at distance 0", i, len(hits[i]), hits[i][0], rows, id)
		}
	}
}

func BenchmarkNearest(b *testing.B) {
	const rows, dim = 32_600, 384
	rng := rand.New(rand.NewPCG(4, 0))
	items := make([]similarity.Item, rows)
	for i := range items {
		values := make([]float32, dim)
		for j := range values {
			values[j] = float32(rng.NormFloat64())
		}
		items[i] = item(fmt.Sprintf("%06d", i), "s", values...)
	}
	begin := time.Now()
	f := open(b, newTable(b), similarity.Euclidean, items)
	b.Logf("%d x %d loaded in %.1f s", rows, dim, time.Since(begin).Seconds())
	for _, batch := range []int{1, 16} {
		queries := make([]vector.Vector, batch)
		for i := range queries {
			queries[i] = items[i*7].Vector
		}
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			for b.Loop() {
				if _, err := f.Nearest(b.Context(), queries, 5); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
