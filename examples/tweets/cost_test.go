package main

import (
	"strings"
	"testing"
)

// Without an account: what BigQuery's rules make of the sample. All of it is
// below the least that a query bills.
func TestCost(t *testing.T) {
	t.Parallel()
	code, out, messages := runApp(t, "", "cost", "-data", sampleData(t), "-price", "6.25")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, messages)
	}
	text := strings.Join(out, "\n")
	for _, want := range []string{"1,000 questions about 414 tweets", "at 6.25 dollars a TiB", "\n| 150 | 0.5 | 10 | 0.060 | 0.006 | 0.001 |", "\n| 384 | 1.3 | 10 | 0.060 | 0.006 | 0.001 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
