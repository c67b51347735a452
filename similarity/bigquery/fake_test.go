package bigquery_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	bq "cloud.google.com/go/bigquery"
	rest "google.golang.org/api/bigquery/v2"
	"google.golang.org/api/option"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/bigquery"
)

// fake is the REST surface of BigQuery as far as a Finder and an Ensure use
// it, for what the emulator lacks: VECTOR_SEARCH and its statistics, vector
// indexes, dry runs, limits, and failures.
type fake struct {
	*httptest.Server
	metric similarity.Metric
	items  []similarity.Item

	mu       sync.Mutex
	asked    []*rest.QueryRequest // jobs.query
	failures []failure            // of the next calls of jobs.query, in order
	jobs     map[string]*rest.JobStatistics2
	tables   map[string]*rest.Table // by dataset.table; a nil one is a data set
	indexes  [][]any                // rows of VECTOR_INDEXES
	dryRun   func(sql string) (bytes int64, err *failure)
	stats    rest.JobStatistics2 // of the next job
	hang     chan struct{}       // if not nil, jobs.query answers after it is closed
}

// failure is an answer of HTTP that is no result.
type failure struct {
	code            int
	reason, message string
}

func newFake(t testing.TB) *fake {
	f := &fake{jobs: map[string]*rest.JobStatistics2{}, tables: map[string]*rest.Table{}}
	f.dryRun = func(string) (int64, *failure) { return 0, nil }
	mux := http.NewServeMux()
	mux.HandleFunc("POST /projects/{project}/queries", f.query)
	mux.HandleFunc("GET /projects/{project}/queries/{job}", f.getRows)
	mux.HandleFunc("POST /projects/{project}/datasets", f.create)
	mux.HandleFunc("POST /projects/{project}/datasets/{dataset}/tables", f.create)
	mux.HandleFunc("POST /projects/{project}/jobs", f.insertJob)
	mux.HandleFunc("GET /projects/{project}/jobs/{job}", f.getJob)
	mux.HandleFunc("GET /projects/{project}/datasets/{dataset}", f.getTable)
	mux.HandleFunc("GET /projects/{project}/datasets/{dataset}/tables/{table}", f.getTable)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the fake does not know %s %s", r.Method, r.URL)
		fail(w, failure{http.StatusNotImplemented, "notImplemented", "no such call"})
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) options() []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint(f.URL), option.WithHTTPClient(f.Client())}
}

// table is one whose rows are the fake's items.
func (f *fake) table(t testing.TB) bigquery.Table {
	t.Helper()
	client, err := bq.NewClient(t.Context(), "my-project", f.options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return bigquery.Table{Client: client, Dataset: "posts", Name: "vectors"}
}

func (f *fake) service(t testing.TB) *rest.Service {
	t.Helper()
	s, err := rest.NewService(t.Context(), f.options()...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// last is the last query.
func (f *fake) last() *rest.QueryRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[len(f.asked)-1]
}

func (f *fake) query(w http.ResponseWriter, r *http.Request) {
	var q rest.QueryRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		fail(w, failure{http.StatusBadRequest, "invalid", err.Error()})
		return
	}
	f.mu.Lock()
	f.asked = append(f.asked, &q)
	hang := f.hang
	var failed *failure
	if len(f.failures) > 0 {
		failed, f.failures = &f.failures[0], f.failures[1:]
	}
	f.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return
		}
	}
	if failed != nil {
		fail(w, *failed)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	schema, rows, err := f.answer(&q)
	if err != nil {
		fail(w, failure{http.StatusBadRequest, "invalidQuery", err.Error()})
		return
	}
	reply := rest.QueryResponse{JobComplete: true, TotalRows: uint64(len(rows)), Schema: schema, Rows: rows}
	if q.JobCreationMode == "JOB_CREATION_OPTIONAL" {
		reply.QueryId = "no-job"
	} else {
		id := "job_" + strconv.Itoa(len(f.jobs))
		stats := f.stats
		f.jobs[id] = &stats
		reply.JobReference = &rest.JobReference{ProjectId: r.PathValue("project"), JobId: id, Location: "US"}
	}
	send(w, reply)
}

// answer is the rows of a query that the package is known to ask.
func (f *fake) answer(q *rest.QueryRequest) (*rest.TableSchema, []*rest.TableRow, error) {
	switch sql := q.Query; {
	case strings.Contains(sql, "AS shortest"):
		n := 0
		if len(f.items) > 0 {
			n = len(f.items[0].Vector.Values)
		}
		return fields("shortest INTEGER", "longest INTEGER", "zeros INTEGER"), []*rest.TableRow{row(n, n, 0)}, nil
	case strings.Contains(sql, "INFORMATION_SCHEMA.VECTOR_INDEXES"):
		var rows []*rest.TableRow
		for _, values := range f.indexes {
			rows = append(rows, row(values...))
		}
		return fields("name STRING", "state STRING", "reason STRING", "coverage INTEGER", "unindexed INTEGER", "ddl STRING"), rows, nil
	case strings.HasPrefix(sql, "CREATE "), strings.HasPrefix(sql, "ALTER "):
		if _, column, ok := strings.Cut(sql, " ADD COLUMN IF NOT EXISTS `"); ok { // of the only table
			name, kind, _ := strings.Cut(column, "` ")
			field := &rest.TableFieldSchema{Name: name, Type: strings.Trim(strings.TrimPrefix(kind, "ARRAY<"), ">")}
			if strings.HasPrefix(kind, "ARRAY<") {
				field.Mode = "REPEATED"
			}
			schema := f.tables["posts.vectors"].Schema
			schema.Fields = append(schema.Fields, field)
		}
		return &rest.TableSchema{}, nil, nil
	case strings.Contains(sql, "VECTOR_SEARCH("):
		rows, err := f.vectorSearch(q)
		return fields("q INTEGER", "id STRING", "distance FLOAT"), rows, err
	}
	return nil, nil, fmt.Errorf("the fake cannot run %s", q.Query)
}

// vectorSearch is VECTOR_SEARCH by brute force. Of equally near rows it takes
// those with the last ids, which it may.
func (f *fake) vectorSearch(q *rest.QueryRequest) ([]*rest.TableRow, error) {
	_, after, _ := strings.Cut(q.Query, "top_k => ")
	digits, _, _ := strings.Cut(after, ",")
	top, err := strconv.Atoi(digits)
	if err != nil {
		return nil, err
	}
	var rows []*rest.TableRow
	for _, query := range parameter(q, "queries").ParameterValue.ArrayValues {
		var values []float32
		for _, v := range query.StructValues["v"].ArrayValues {
			x, err := strconv.ParseFloat(v.Value, 64)
			if err != nil {
				return nil, err
			}
			values = append(values, float32(x))
		}
		var hits []similarity.Hit
		for _, it := range f.items {
			if it.Vector.Space != parameter(q, "space").ParameterValue.Value || !keeps(q, it.ID) {
				continue
			}
			d, err := f.metric.Distance(values, it.Vector.Values)
			if err != nil {
				return nil, err
			}
			hits = append(hits, similarity.Hit{ID: it.ID, Distance: d})
		}
		order := func(sign int) func(a, b similarity.Hit) int {
			return func(a, b similarity.Hit) int {
				if a.Distance != b.Distance {
					return int(math.Copysign(1, a.Distance-b.Distance))
				}
				return sign * strings.Compare(a.ID, b.ID)
			}
		}
		slices.SortFunc(hits, order(-1))
		hits = hits[:min(top, len(hits))]
		slices.SortFunc(hits, order(1)) // the statement's ORDER BY
		for _, h := range hits {
			rows = append(rows, row(query.StructValues["n"].Value, h.ID, strconv.FormatFloat(h.Distance, 'g', -1, 64)))
		}
	}
	return rows, nil
}

// keeps is the condition NOT IN on the id, which the suite uses.
func keeps(q *rest.QueryRequest, id string) bool {
	p := parameter(q, "c0")
	return p == nil || !slices.ContainsFunc(p.ParameterValue.ArrayValues, func(v *rest.QueryParameterValue) bool { return v.Value == id })
}

func parameter(q *rest.QueryRequest, name string) *rest.QueryParameter {
	for _, p := range q.QueryParameters {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// insertJob is jobs.insert, for dry runs.
func (f *fake) insertJob(w http.ResponseWriter, r *http.Request) {
	var job rest.Job
	if err := json.NewDecoder(r.Body).Decode(&job); err != nil || !job.Configuration.DryRun {
		fail(w, failure{http.StatusBadRequest, "invalid", "only dry runs"})
		return
	}
	bytes, failed := f.dryRun(job.Configuration.Query.Query)
	if failed != nil {
		fail(w, *failed)
		return
	}
	job.JobReference = &rest.JobReference{ProjectId: r.PathValue("project"), JobId: "dry"}
	job.Status = &rest.JobStatus{State: "DONE"}
	job.Statistics = &rest.JobStatistics{TotalBytesProcessed: bytes, Query: &rest.JobStatistics2{TotalBytesProcessed: bytes}}
	send(w, job)
}

// getRows is what the client asks after an answer without rows.
func (f *fake) getRows(w http.ResponseWriter, r *http.Request) {
	send(w, rest.GetQueryResultsResponse{JobComplete: true, Schema: &rest.TableSchema{}, JobReference: &rest.JobReference{JobId: r.PathValue("job")}})
}

// create makes a data set or a table.
func (f *fake) create(w http.ResponseWriter, r *http.Request) {
	var made struct {
		rest.Table
		DatasetReference rest.DatasetReference
	}
	if err := json.NewDecoder(r.Body).Decode(&made); err != nil {
		fail(w, failure{http.StatusBadRequest, "invalid", err.Error()})
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	name, table := made.DatasetReference.DatasetId, (*rest.Table)(nil)
	if dataset := r.PathValue("dataset"); dataset != "" {
		name, table = dataset+"."+made.TableReference.TableId, &made.Table
	}
	if _, there := f.tables[name]; there {
		fail(w, failure{http.StatusConflict, "duplicate", "Already Exists: " + name})
		return
	}
	f.tables[name] = table
	send(w, made)
}

func (f *fake) getJob(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := f.jobs[r.PathValue("job")]
	if stats == nil {
		fail(w, failure{http.StatusNotFound, "notFound", "no such job"})
		return
	}
	send(w, rest.Job{
		JobReference:  &rest.JobReference{ProjectId: r.PathValue("project"), JobId: r.PathValue("job"), Location: "US"},
		Configuration: &rest.JobConfiguration{Query: &rest.JobConfigurationQuery{}},
		Status:        &rest.JobStatus{State: "DONE"}, Statistics: &rest.JobStatistics{Query: stats},
	})
}

func (f *fake) getTable(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := r.PathValue("dataset")
	if t := r.PathValue("table"); t != "" {
		name += "." + t
	}
	switch table, there := f.tables[name]; {
	case !there:
		fail(w, failure{http.StatusNotFound, "notFound", "Not found: " + name})
	case table == nil:
		send(w, rest.Dataset{Location: "US"})
	default:
		send(w, table)
	}
}

func fields(all ...string) *rest.TableSchema {
	schema := &rest.TableSchema{}
	for _, f := range all {
		name, kind, _ := strings.Cut(f, " ")
		schema.Fields = append(schema.Fields, &rest.TableFieldSchema{Name: name, Type: kind})
	}
	return schema
}

func row(values ...any) *rest.TableRow {
	r := &rest.TableRow{}
	for _, v := range values {
		r.F = append(r.F, &rest.TableCell{V: fmt.Sprint(v)})
	}
	return r
}

func send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, f failure) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.code)
	item := map[string]string{"reason": f.reason, "message": f.message, "domain": "global"}
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": f.code, "message": f.message, "errors": []any{item}}})
}

// openFake is a Finder over items in a fake.
func openFake(t testing.TB, f *fake, metric similarity.Metric, items []similarity.Item, options ...bigquery.Option) *bigquery.Finder {
	t.Helper()
	f.metric, f.items = metric, items
	finder, err := bigquery.Open(t.Context(), f.table(t), items[0].Vector.Space, metric, options...)
	if err != nil {
		t.Fatal(err)
	}
	return finder
}
