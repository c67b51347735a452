package results_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

func TestSummarize(t *testing.T) {
	got := results.Summarize([][]float64{{3, 1, 2}, {10, 4}, {5, 6, 7, 8, 9, 0}})
	want := results.Spread{Median: 5, P10: 1, P90: 9, Low: 2, High: 7}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct{ q, want float64 }{{0, 1}, {0.5, 2.5}, {0.9, 3.7}, {1, 4}} {
		if got := results.Quantile([]float64{4, 2, 1, 3}, c.q); got-c.want > 1e-12 || c.want-got > 1e-12 {
			t.Errorf("quantile %v is %v, want %v", c.q, got, c.want)
		}
	}
	if got := results.Quantile([]float64{7}, 0.9); got != 7 {
		t.Errorf("quantile of one value is %v", got)
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	row := results.Row{Case: "a case", System: "millrace", Metric: "ms/question", Value: 1.5, Better: "lower"}
	if err := results.Write(dir, "app", []results.Row{row}, "a table\n"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "app.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(data, &rows); err != nil || len(rows) != 1 {
		t.Fatalf("%s: %v", data, err)
	}
	for key, want := range map[string]any{"case": "a case", "system": "millrace", "metric": "ms/question", "value": 1.5, "better": "lower"} {
		if rows[0][key] != want {
			t.Errorf("%s is %v, want %v", key, rows[0][key], want)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "app.md"))
	if err != nil || string(text) != "a table\n" {
		t.Errorf("%q, %v", text, err)
	}
}
