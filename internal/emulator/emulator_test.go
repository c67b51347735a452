package emulator

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

func startForTest(t *testing.T, dir string) *Emulator {
	t.Helper()
	begin := time.Now()
	e, err := Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready in %v", time.Since(begin))
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestQueries(t *testing.T) {
	e := startForTest(t, "")
	client, err := e.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	q := client.Query("SELECT EUCLIDEAN_DISTANCE(@a, [0.0, 0.0])")
	q.Parameters = []bigquery.QueryParameter{{Name: "a", Value: []float64{3, 4}}}
	rows, err := q.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var row []bigquery.Value
	if err := rows.Next(&row); err != nil || row[0] != 5.0 {
		t.Fatalf("got %v, %v; want 5", row, err)
	}
	if err := rows.Next(&row); !errors.Is(err, iterator.Done) {
		t.Fatalf("a second row %v, %v", row, err)
	}

	_, err = client.Query("SELECT nothing FROM nowhere.at_all").Read(t.Context())
	if bad, ok := errors.AsType[*googleapi.Error](err); !ok || bad.Code != http.StatusBadRequest && bad.Code != http.StatusNotFound {
		t.Fatalf("a bad query gave error %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e.cmd.ProcessState == nil {
		t.Fatal("the process is not over after Close")
	}
}

// The emulator must not outlive a test that is killed: the end of its standard
// input is all that it then hears.
func TestEndsWithItsStarter(t *testing.T) {
	e := startForTest(t, "")
	if err := e.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-e.exited:
	case <-time.After(30 * time.Second):
		t.Fatal("still running 30 s after its standard input ended")
	}
}

func TestFolderKeepsTables(t *testing.T) {
	dir := t.TempDir()
	for run := range 2 {
		e := startForTest(t, dir)
		client, err := e.Client(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if run == 0 {
			err = client.Dataset("d").Create(t.Context(), &bigquery.DatasetMetadata{})
			if err == nil {
				_, err = client.Query("CREATE TABLE d.t AS SELECT 7 AS n").Read(t.Context())
			}
		} else {
			var rows *bigquery.RowIterator
			var row []bigquery.Value
			if rows, err = client.Query("SELECT n FROM d.t").Read(t.Context()); err == nil {
				err = rows.Next(&row)
			}
			if err == nil && row[0] != int64(7) {
				t.Errorf("got %v after the restart, want 7", row)
			}
		}
		if err := errors.Join(err, client.Close(), e.Close()); err != nil {
			t.Fatalf("run %d: %v", run, err)
		}
	}
}

func TestStartSaysWhatToRun(t *testing.T) {
	t.Setenv("MILLRACE_CACHE", t.TempDir())
	_, err := Start(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Fatalf("got %v, want an error that names `make setup`", err)
	}
}

func TestMender(t *testing.T) {
	var method string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method = r.Method
		if r.URL.Query().Get("more") != "" {
			w.WriteHeader(http.StatusPermanentRedirect)
			return
		}
		if r.URL.Query().Get("broken") != "" {
			_, _ = w.Write([]byte(`{"jobComplete":true,"errors":[{"reason":"invalidQuery","message":"no such thing"}]}`))
			return
		}
		_, _ = w.Write([]byte(`{"jobComplete":true,"totalRows":"0"}`))
	}))
	defer server.Close()
	client := http.Client{Transport: mender{http.DefaultTransport}}
	resp, err := client.Post(server.URL+"/upload?upload_id=7&more=1", "", strings.NewReader("part"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Http-Status-Code-Override") != "308" {
		t.Errorf("a chunk that is not the last was answered with %d, %v", resp.StatusCode, resp.Header)
	}
	for _, c := range []struct {
		path, method string
		code         int
	}{
		{"/projects/p/queries", http.MethodPost, 200},
		{"/projects/p/queries?broken=1", http.MethodPost, 400},
		{"/projects/p/jobs?broken=1", http.MethodPost, 200},
		{"/upload?uploadType=resumable", http.MethodPost, 200},
		{"/upload?upload_id=7", http.MethodPut, 200},
	} {
		resp, err := client.Post(server.URL+c.path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		err = googleapi.CheckResponse(resp)
		_ = resp.Body.Close()
		if method != c.method || resp.StatusCode != c.code {
			t.Errorf("%s: sent by %s, answered with %d; want %s and %d", c.path, method, resp.StatusCode, c.method, c.code)
		}
		if c.code == 400 && (err == nil || !strings.Contains(err.Error(), "no such thing")) {
			t.Errorf("%s: error %v, want one with the emulator's message", c.path, err)
		}
	}
}
