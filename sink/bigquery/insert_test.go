package bigquery_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/option"

	"github.com/millrace-go/millrace/sink"
	millrace "github.com/millrace-go/millrace/sink/bigquery"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// restFake is insertAll for one table, as Google documents it: a row whose id
// was seen is not written again, and nothing of a request with a wrong row.
type restFake struct {
	url string
	// answer, if set, may answer the nth request, from 1, by a status and a
	// reason; lost says that it takes effect before.
	answer func(nth int) (status int, reason string, lost bool)

	mu       sync.Mutex
	requests int
	rows     []item
	seen     map[string]bool
}

func startREST(tb testing.TB) *restFake {
	tb.Helper()
	f := &restFake{seen: make(map[string]bool)}
	s := httptest.NewServer(f)
	tb.Cleanup(s.Close)
	f.url = s.URL
	return f
}

func (f *restFake) table(tb testing.TB) millrace.Table {
	tb.Helper()
	c, err := bigquery.NewClient(tb.Context(), "millrace", option.WithEndpoint(f.url+"/"), option.WithoutAuthentication())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return millrace.Table{Client: c, Dataset: "d", Name: "t"}
}

func (f *restFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const table = "/projects/millrace/datasets/d/tables/t"
	switch {
	case r.Method == http.MethodGet && r.URL.Path == table:
		_, _ = w.Write([]byte(`{}`))
	case r.Method == http.MethodPost && r.URL.Path == table+"/insertAll":
		f.insert(w, r)
	default:
		fail(w, http.StatusNotFound, "notFound")
	}
}

func fail(w http.ResponseWriter, status int, reason string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":{"code":%d,"message":%q,"errors":[{"reason":%q,"message":%q}]}}`, status, reason, reason, reason)
}

func (f *restFake) insert(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	status, reason, lost := 0, "", false
	if f.answer != nil {
		status, reason, lost = f.answer(f.requests)
	}
	if status != 0 && !lost {
		fail(w, status, reason)
		return
	}
	var req struct {
		Rows []struct {
			InsertID string `json:"insertId"`
			JSON     struct {
				ID string `json:"id"`
				N  int64  `json:"n"`
			} `json:"json"`
		} `json:"rows"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	type rowError struct {
		Index  int              `json:"index"`
		Errors []map[string]any `json:"errors"`
	}
	var bad []rowError
	for i, row := range req.Rows {
		if row.JSON.ID == "wrong" {
			bad = append(bad, rowError{i, []map[string]any{{"reason": "invalid", "message": "this one is wrong", "location": "id"}}})
		}
	}
	if len(bad) > 0 {
		for i, row := range req.Rows {
			if row.JSON.ID != "wrong" {
				bad = append(bad, rowError{i, []map[string]any{{"reason": "stopped"}}})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"insertErrors": bad})
		return
	}
	for _, row := range req.Rows {
		if len(row.InsertID) > 128 {
			fail(w, http.StatusBadRequest, "invalid")
			return
		}
		if row.InsertID == "" || !f.seen[row.InsertID] {
			f.rows = append(f.rows, item{row.JSON.ID, row.JSON.N})
		}
		f.seen[row.InsertID] = true
	}
	if lost {
		fail(w, status, reason)
		return
	}
	_, _ = w.Write([]byte(`{}`))
}

func (f *restFake) written() (all []stage.Record[item]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range f.rows {
		all = append(all, stage.Record[item]{Value: it})
	}
	return all
}

func TestInsertPassesTheSuite(t *testing.T) {
	stagetest.TestSink(t, func(tb testing.TB) stagetest.SinkFixture[item] {
		f := startREST(tb)
		return stagetest.SinkFixture[item]{
			Sink: millrace.Insert[item](f.table(tb)), Value: itemAt, Written: f.written,
			Without: stagetest.Keys | stagetest.Headers | stagetest.Times, Unordered: true,
			TooLarge: func() item { return item{ID: "wrong"} },
		}
	})
}

// TestInsertIDs: what is written again within the minute is there once, rows of
// one record are told apart, and those of other topics, too.
func TestInsertIDs(t *testing.T) {
	f := startREST(t)
	table := f.table(t)
	f.answer = func(nth int) (int, string, bool) {
		if nth == 1 { // it takes effect, and nobody hears of it
			return http.StatusServiceUnavailable, "backendError", true
		}
		return 0, "", false
	}
	s := sink.Each(sink.FromRecord(millrace.Insert[item](table)))
	w, err := s.Targets[0].Open(t.Context(), stage.Env{Stage: "test", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	var raws []stage.Raw
	twice := []stage.Record[item]{{Value: itemAt(1)}, {Value: itemAt(1)}} // alike, and two all the same
	for _, topic := range []string{"in", strings.Repeat("long", 60)} {
		for offset := range 3 {
			if err := s.Encode(twice, &stage.Raw{Topic: topic, Offset: int64(offset)}, func(_ int, r stage.Raw) { raws = append(raws, r) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 { // the second time, the stage writes them again
		a := &answers{tb: t, errs: make([]error, len(raws)), left: len(raws), all: make(chan struct{})}
		w.Write(raws, a.done)
		a.written()
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(f.written()); got != 12 || f.requests < 3 {
		t.Errorf("%d rows after %d requests, want 12 after at least 3", got, f.requests)
	}
}

// TestWhatErrorsMean: which of them the stage tries again, and which stop it.
func TestWhatErrorsMean(t *testing.T) {
	for _, c := range []struct {
		status int
		reason string
		want   error
	}{
		{http.StatusNotFound, "notFound", stage.ErrRefused},
		{http.StatusForbidden, "accessDenied", stage.ErrRefused},
		{http.StatusForbidden, "quotaExceeded", stage.ErrUnavailable},
		{http.StatusServiceUnavailable, "backendError", stage.ErrUnavailable}, // for longer than Timeout
		{http.StatusRequestEntityTooLarge, "tooLarge", nil},
	} {
		t.Run(fmt.Sprint(c.status, c.reason), func(t *testing.T) {
			f := startREST(t)
			table := f.table(t)
			table.Timeout = 300 * time.Millisecond
			f.answer = func(int) (int, string, bool) { return c.status, c.reason, false }
			s := millrace.Insert[item](table)
			w, err := s.Targets[0].Open(t.Context(), stage.Env{Stage: "test", Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			var raws []stage.Raw
			for i := range 3 {
				_ = s.Encode(itemAt(i), &stage.Raw{Topic: "in", Offset: int64(i)}, func(_ int, r stage.Raw) { raws = append(raws, r) })
			}
			a := &answers{tb: t, errs: make([]error, len(raws)), left: len(raws), all: make(chan struct{})}
			w.Write(raws, a.done)
			for i, err := range a.wait() {
				if c.want != nil && !errors.Is(err, c.want) || c.want == nil && !stage.IsPermanent(err) {
					t.Errorf("row %d: %v, want %v", i, err, c.want)
				}
			}
			if err := w.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTablesThatAreNot(t *testing.T) {
	f, r := startFake(t), startREST(t)
	s, c := f.table(t).Storage, r.table(t).Client
	env := stage.Env{Stage: "test", Logger: quiet}
	for name, c := range map[string]struct {
		sink stage.Sink[item]
		want string
	}{
		"no client":       {millrace.Insert[item](millrace.Table{Project: "millrace", Dataset: "d", Name: "t"}), "Table.Client: missing"},
		"no storage":      {millrace.AppendOnce[item](millrace.Table{Client: c, Dataset: "d", Name: "t"}), "Table.Storage: missing"},
		"bad name":        {millrace.Append[item](millrace.Table{Storage: s, Project: "millrace", Dataset: "d", Name: "t`; DROP"}), "Table.Name"},
		"bad project":     {millrace.Append[item](millrace.Table{Storage: s, Project: "m/x", Dataset: "d", Name: "t"}), "Table.Project"},
		"bad dataset":     {millrace.Load[item](millrace.Table{Client: c, Dataset: "d.d", Name: "t"}, nil), "Table.Dataset"},
		"negative":        {millrace.Load[item](millrace.Table{Client: c, Dataset: "d", Name: "t", Linger: -1}, nil), "negative"},
		"missing":         {millrace.Load[item](millrace.Table{Client: c, Dataset: "d", Name: "other"}, nil), "must be there"},
		"missing, stream": {millrace.AppendOnce[item](millrace.Table{Storage: s, Project: "millrace", Dataset: "d", Name: "other"}), "must be there"},
	} {
		if err := c.sink.Targets[0].Check(t.Context(), env); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
