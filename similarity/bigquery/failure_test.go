package bigquery_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"golang.org/x/oauth2"
	"google.golang.org/api/option"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/bigquery"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// What may be tried again is, by the client; what may not is not, and is
// stage.Permanent.
func TestFailures(t *testing.T) {
	items := []similarity.Item{item("a", "s", 1)}
	question := []vector.Vector{items[0].Vector}
	for _, c := range []struct {
		failure
		tries     int
		permanent bool
		want      string // of the error; empty: an answer
	}{
		{failure{503, "backendError", "try again"}, 2, false, ""},
		{failure{500, "", "oops"}, 2, false, ""},
		{failure{403, "rateLimitExceeded", "slower"}, 2, false, ""},
		{failure{403, "quotaExceeded", "enough for today"}, 1, false, "a quota is used up"},
		{failure{400, "invalidQuery", "Syntax error"}, 1, true, "Syntax error"},
		{failure{400, "bytesBilledLimitExceeded", "too dear"}, 1, true, "WithMaxBytesBilled"},
		{failure{403, "accessDenied", "no"}, 1, true, "roles/bigquery.jobUser"},
		{failure{404, "notFound", "no table"}, 1, true, "location"},
		{failure{401, "authError", "expired"}, 1, false, "expired"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel() // the client waits a second before it tries again
			fake := newFake(t)
			f := openFake(t, fake, similarity.Euclidean, items)
			before := len(fake.asked)
			fake.failures = []failure{c.failure}
			hits, err := f.Nearest(t.Context(), question, 1)
			if tries := len(fake.asked) - before; tries != c.tries {
				t.Errorf("asked %d times, want %d", tries, c.tries)
			}
			if c.want == "" {
				if err != nil || len(hits[0]) != 1 {
					t.Errorf("got %v, %v", hits, err)
				}
				if a, b := fake.asked[before].RequestId, fake.last().RequestId; a == "" || a != b {
					t.Errorf("request ids %q and %q: the service cannot tell that it is the same question", a, b)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || stage.IsPermanent(err) != c.permanent {
				t.Errorf("error %v, permanent %v; want one with %q, permanent %v", err, stage.IsPermanent(err), c.want, c.permanent)
			}
		})
	}
}

// A service that does not answer, and one that only fails, end with the
// timeout: the client itself would go on for ever.
func TestHangs(t *testing.T) {
	items := []similarity.Item{item("a", "s", 1)}
	for name, spoil := range map[string]func(*fake){
		"hangs": func(f *fake) { f.hang = make(chan struct{}) },
		"fails": func(f *fake) {
			for range 100 {
				f.failures = append(f.failures, failure{http.StatusServiceUnavailable, "backendError", "down for repair"})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t)
			fake.metric, fake.items = similarity.Euclidean, items
			table := fake.table(t)
			table.Timeout = 300 * time.Millisecond
			f, err := bigquery.Open(t.Context(), table, "s", similarity.Euclidean)
			if err != nil {
				t.Fatal(err)
			}
			spoil(fake)
			_, stats, err := f.Search(t.Context(), []vector.Vector{items[0].Vector}, 1)
			if !errors.Is(err, context.DeadlineExceeded) || stage.IsPermanent(err) || !strings.Contains(err.Error(), "Timeout") {
				t.Errorf("error %v, want one about the deadline", err)
			}
			if name == "fails" && !strings.Contains(err.Error(), "down for repair") {
				t.Errorf("error %v does not tell why", err)
			}
			if stats.Queries != 1 || stats.Elapsed < table.Timeout {
				t.Errorf("statistics %+v", stats)
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			if _, err := f.Nearest(ctx, []vector.Vector{items[0].Vector}, 1); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled in mid-question: %v", err)
			}
		})
	}
}

// What a login consists of is in no error.
func TestErrorsHoldNoSecrets(t *testing.T) {
	const secret = "ya29.secret-token"
	fake := newFake(t)
	fake.metric, fake.items = similarity.Euclidean, []similarity.Item{item("a", "s", 1)}
	client, err := bq.NewClient(t.Context(), "my-project", option.WithEndpoint(fake.URL),
		option.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: secret})))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	table := bigquery.Table{Client: client, Dataset: "posts", Name: "vectors", Timeout: 200 * time.Millisecond}
	f, err := bigquery.Open(t.Context(), table, "s", similarity.Euclidean)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []failure{{401, "authError", "Invalid Credentials"}, {403, "accessDenied", "no"}, {503, "backendError", "down"}, {400, "invalidQuery", "no"}} {
		fake.failures = []failure{bad, bad, bad}
		if _, err := f.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{1}}}, 1); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error %v", err)
		}
	}
	fake.Close()
	if _, err := f.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{1}}}, 1); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v", err)
	}
}
