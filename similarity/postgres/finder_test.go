package postgres_test

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

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/millrace-go/millrace/internal/pgserver"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/postgres"
	"github.com/millrace-go/millrace/similarity/similaritytest"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

var (
	// One server for all tests: it takes seconds to start.
	running = sync.OnceValues(func() (*pgserver.Server, error) { return pgserver.Start(context.Background()) })
	started atomic.Bool
	tables  atomic.Int32
)

func TestMain(m *testing.M) {
	code := m.Run()
	if started.Load() {
		if s, err := running(); err == nil {
			_ = s.Close()
		}
	}
	os.Exit(code)
}

// newTable names a table that is not there yet.
func newTable(t testing.TB, settings ...string) postgres.Table {
	t.Helper()
	started.Store(true)
	s, err := running()
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), s.URL+strings.Join(settings, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return postgres.Table{Pool: pool, Name: fmt.Sprintf("vectors_%d", tables.Add(1))}
}

func open(t testing.TB, table postgres.Table, metric similarity.Metric, items []similarity.Item, options ...postgres.Option) *postgres.Finder {
	t.Helper()
	if err := table.Load(t.Context(), items, nil); err != nil {
		t.Fatal(err)
	}
	f, err := postgres.Open(t.Context(), table, items[0].Vector.Space, metric, options...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func item(id, space string, values ...float32) similarity.Item {
	return similarity.Item{ID: id, Vector: vector.Vector{Space: space, Values: values}}
}

func exec(t testing.TB, table postgres.Table, sql string, args ...any) {
	t.Helper()
	if _, err := table.Pool.Exec(t.Context(), strings.ReplaceAll(sql, "{table}", table.Name), args...); err != nil {
		t.Fatal(err)
	}
}

func TestIsAFinder(t *testing.T) {
	load := func(t *testing.T, metric similarity.Metric, items []similarity.Item) *postgres.Finder {
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
	var all *postgres.Finder // the items are always the same
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

// Rows that float32 cannot tell apart, that are equally near, and that are
// beyond it: what pgvector takes for the nearest is not.
func TestExactWherePgvectorIsNot(t *testing.T) {
	const dim, rows = 64, 400
	rng := rand.New(rand.NewPCG(11, 0))
	for name, scale := range map[string]float32{"close": 1, "tiny": 1e-21, "huge": 3e18} {
		centre := make([]float32, dim)
		for i := range centre {
			centre[i] = scale * float32(rng.NormFloat64())
		}
		var items []similarity.Item
		for i := range rows {
			values := make([]float32, dim)
			for j := range values {
				values[j] = centre[j] + scale*float32(rng.IntN(3)-1)
				values[j] += values[j] * 1e-7 * float32(rng.IntN(3)-1)
			}
			items = append(items, item(fmt.Sprintf("%03d", (i*7)%rows), "s", values...))
		}
		queries := []vector.Vector{{Space: "s", Values: centre}, items[5].Vector}
		exact := similarity.NewIndex(similarity.Euclidean)
		if err := exact.Add(items...); err != nil {
			t.Fatal(err)
		}
		f := open(t, newTable(t), similarity.Euclidean, items)
		for _, k := range []int{1, 20, rows - 1} {
			want, err := exact.Nearest(t.Context(), queries, k)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Nearest(t.Context(), queries, k)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				for j := range want[i] {
					if got[i][j] != want[i][j] {
						t.Fatalf("%s, k %d, query %d, hit %d: %v, want %v", name, k, i, j, got[i][j], want[i][j])
					}
				}
			}
		}
	}
}

// More equally near rows than are fetched at first, the first ids last.
func TestTies(t *testing.T) {
	const rows = 100
	var items []similarity.Item
	for i := range rows {
		items = append(items, item(fmt.Sprintf("%03d", rows-1-i), "s", 1, 0))
	}
	f := open(t, newTable(t), similarity.Euclidean, items)
	hits, err := f.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{5, 0}}}, 3)
	if got := fmt.Sprint(hits); err != nil || got != "[[{000 4} {001 4} {002 4}]]" {
		t.Errorf("got %s, %v", got, err)
	}
}

// An HNSW index is used if that is allowed, and only then.
func TestWithIndex(t *testing.T) {
	const rows = 3000
	rng := rand.New(rand.NewPCG(12, 0))
	var items []similarity.Item
	for i := range rows {
		items = append(items, item(fmt.Sprintf("%04d", i), "s", float32(rng.NormFloat64()), float32(rng.NormFloat64()), float32(rng.NormFloat64())))
	}
	table := newTable(t, "&pool_max_conns=1") // whose counts are flushed
	exact := open(t, table, similarity.Euclidean, items)
	exec(t, table, "ALTER TABLE {table} ALTER COLUMN vector TYPE vector(3)")
	exec(t, table, "CREATE INDEX ON {table} USING hnsw (vector vector_l2_ops)")
	exec(t, table, "ANALYZE {table}")
	scans := func() (n int) {
		t.Helper()
		exec(t, table, "SELECT pg_stat_force_next_flush()")
		err := table.Pool.QueryRow(t.Context(), "SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_user_indexes WHERE indexrelname LIKE '%vector_idx%' AND relname = $1", table.Name).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	fast, err := postgres.Open(t.Context(), table, "s", similarity.Euclidean, postgres.WithIndex())
	if err != nil {
		t.Fatal(err)
	}
	query := []vector.Vector{items[17].Vector}
	for _, c := range []struct {
		f    *postgres.Finder
		used bool
	}{{exact, false}, {fast, true}} {
		before := scans()
		hits, err := c.f.Nearest(t.Context(), query, 5)
		if err != nil || len(hits[0]) != 5 || hits[0][0] != (similarity.Hit{ID: "0017"}) {
			t.Fatalf("got %v, %v", hits, err)
		}
		if used := scans() > before; used != c.used {
			t.Errorf("index used: %v, want %v", used, c.used)
		}
	}
}

func TestLoad(t *testing.T) {
	table := newTable(t)
	items := []similarity.Item{item("a", "s", 1, 0), item("b", "s", 2, 0), item("b", "s", 3, 0), item("c", "s", 4, 0)}
	count := func() (n int) {
		t.Helper()
		if err := table.Pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table.Name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var calls []string
	progress := func(done, total int) { calls = append(calls, fmt.Sprintf("%d/%d", done, total)) }
	for i, c := range []struct {
		items []similarity.Item
		rows  int
		calls string
	}{
		{items[:1], 1, "0/1 1/1"},
		{items, 3, "0/3 3/3"},
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
	f, err := postgres.Open(t.Context(), table, "s", similarity.Euclidean)
	if err != nil {
		t.Fatal(err)
	}
	if hits, err := f.Nearest(t.Context(), []vector.Vector{items[2].Vector}, 1); err != nil || hits[0][0] != (similarity.Hit{ID: "b"}) {
		t.Fatalf("got %v, %v; want the later b", hits, err)
	}
	for name, bad := range map[string][]similarity.Item{
		"item 1":   {items[0], item("x", "t", 1, 2)},
		"NUL":      {item("a\x00b", "s", 1, 2)},
		"item 0":   {item("", "s", 1, 2)},
		"no space": {item("x", "", 1, 2)},
	} {
		if err := table.Load(t.Context(), bad, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}

// Loads of one table at once do not fail, and leave each row once.
func TestLoadAtOnce(t *testing.T) {
	table := newTable(t)
	var items []similarity.Item
	for i := range 500 {
		items = append(items, item(fmt.Sprint(i), "s", float32(i)))
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := table.Load(t.Context(), items, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var n int
	if err := table.Pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table.Name).Scan(&n); err != nil || n != len(items) {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestOpenErrors(t *testing.T) {
	table := newTable(t)
	if _, err := postgres.Open(t.Context(), table, "s", similarity.Euclidean); err == nil || !strings.Contains(err.Error(), table.Name) || !stage.IsPermanent(err) {
		t.Errorf("no such table: error %v", err)
	}
	if err := table.Load(t.Context(), []similarity.Item{item("zero", "s", 0, 0), item("one", "s", 0, 1)}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), table, "s", similarity.Cosine); err == nil || !strings.Contains(err.Error(), "1 vectors of zeros") {
		t.Errorf("zeros by cosine: error %v", err)
	}
	if _, err := postgres.Open(t.Context(), table, "s", similarity.InnerProduct); err == nil {
		t.Error("opened by the inner product")
	}
	exec(t, table, "INSERT INTO {table} VALUES ('long', 's', '[1,2,3]')")
	if _, err := postgres.Open(t.Context(), table, "s", similarity.Euclidean); err == nil || !strings.Contains(err.Error(), "2 to 3 values") {
		t.Errorf("two dimensions: error %v", err)
	}
	f, err := postgres.Open(t.Context(), table, "nothing of this space", similarity.Euclidean)
	if err != nil {
		t.Fatal(err)
	}
	if hits, err := f.Nearest(t.Context(), []vector.Vector{{Space: "any", Values: []float32{1}}}, 1); err != nil || len(hits) != 1 || len(hits[0]) != 0 {
		t.Errorf("over no rows: %v, %v", hits, err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	good := newTable(t)
	for name, change := range map[string]func(*postgres.Table){
		"Pool":         func(b *postgres.Table) { b.Pool = nil },
		"Schema":       func(b *postgres.Table) { b.Schema = `public"."x` },
		"Name":         func(b *postgres.Table) { b.Name = `t" WHERE 1=1; --` },
		"IDColumn":     func(b *postgres.Table) { b.IDColumn = "id\n" },
		"SpaceColumn":  func(b *postgres.Table) { b.SpaceColumn = "{vector}" },
		"VectorColumn": func(b *postgres.Table) { b.VectorColumn = strings.Repeat("v", 64) },
		"Timeout":      func(b *postgres.Table) { b.Timeout = -1 },
		"must differ":  func(b *postgres.Table) { b.IDColumn = "space" },
	} {
		bad := good
		change(&bad)
		_, openErr := postgres.Open(t.Context(), bad, "s", similarity.Euclidean)
		for _, err := range []error{openErr, bad.Load(t.Context(), nil, nil), bad.Ensure(t.Context())} {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: error %v does not name it", name, err)
			}
		}
	}
	good.IDColumn, good.SpaceColumn, good.VectorColumn = "select", "From", "array"
	f := open(t, good, similarity.Euclidean, []similarity.Item{item("a", "s", 3, 4)})
	if hits, err := f.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{0, 0}}}, 1); err != nil || hits[0][0] != (similarity.Hit{ID: "a", Distance: 5}) {
		t.Fatalf("got %v, %v", hits, err)
	}
}

func TestWhere(t *testing.T) {
	table := newTable(t)
	f := open(t, table, similarity.Euclidean, []similarity.Item{item("a", "s", 1), item("b", "s", 2), item("c", "s", 3)})
	exec(t, table, "ALTER TABLE {table} ADD lang text, ADD favorites int, ADD score real, ADD reply bool, ADD created timestamptz")
	exec(t, table, "UPDATE {table} SET lang = 'en', favorites = 1, score = 0.5, reply = true, created = '2020-01-01' WHERE id = 'a'")
	exec(t, table, "UPDATE {table} SET lang = 'de', favorites = 2, score = 1.5, reply = false, created = '2021-01-01' WHERE id = 'b'")
	exec(t, table, "UPDATE {table} SET score = 2.5, reply = true WHERE id = 'c'")
	similaritytest.TestWhere(t, func(conditions ...similarity.Condition) (similarity.Finder, error) { return f.Where(conditions...) })
	// A bound may lie between the numbers of a column.
	between, err := f.Where(similarity.Condition{Column: "favorites", Is: similarity.Above, Value: 1.5})
	if err != nil {
		t.Fatal(err)
	}
	hits, err := between.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{0}}}, 10)
	if err != nil || len(hits[0]) != 1 || hits[0][0].ID != "b" {
		t.Errorf("above 1.5: found %v, %v, want b", hits, err)
	}
	for _, column := range []string{`a" OR TRUE --`, strings.Repeat("a", 64)} {
		if _, err := f.Where(similarity.Condition{Column: column, Value: 1}); err == nil {
			t.Errorf("column %q was taken", column)
		}
	}
	g, err := f.Where(similarity.Condition{Column: "nowhere", Value: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{0}}}, 1); err == nil || !stage.IsPermanent(err) || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a column that is not there: %v", err)
	}
}

// A server that does not answer: a lock on the table holds the statement up.
func TestTimeout(t *testing.T) {
	table := newTable(t)
	f0 := open(t, table, similarity.Euclidean, []similarity.Item{item("a", "s", 1)})
	if _, err := f0.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{1}}}, 1); err != nil {
		t.Fatal(err)
	}
	table.Timeout = 200 * time.Millisecond
	f, err := postgres.Open(t.Context(), table, "s", similarity.Euclidean)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := table.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE "+table.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{1}}}, 1); !errors.Is(err, context.DeadlineExceeded) || stage.IsPermanent(err) {
		t.Fatalf("got %v, want a deadline exceeded", err)
	}
}

// What a login consists of is in no error.
func TestErrorsHoldNoSecrets(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), "postgres://someone:open-sesame@127.0.0.1:1/posts?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	table := postgres.Table{Pool: pool, Name: "vectors", Timeout: time.Second}
	_, openErr := postgres.Open(t.Context(), table, "s", similarity.Euclidean)
	for _, err := range []error{openErr, table.Ensure(t.Context()), table.Load(t.Context(), []similarity.Item{item("a", "s", 1)}, nil)} {
		if err == nil || strings.Contains(err.Error(), "sesame") || stage.IsPermanent(err) {
			t.Errorf("error %v", err)
		}
	}
}
