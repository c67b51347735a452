package main

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// Of 1,000 tweets, the 10 nearest of 30,000 others by all values: a refined index
// finds them, to the last id, and what it scans alone does not.
func TestRefinedIsExactOnTweets(t *testing.T) {
	o := options{archive: os.Getenv("ARCHIVE"), rows: 30_445}
	if o.archive == "" {
		t.Skip("ARCHIVE names no file of tweets")
	}
	t.Run(model384, func(t *testing.T) { testRefinedOnTweets(t, o, model384, 15) })
	t.Run(model768, func(t *testing.T) {
		if _, err := os.Stat(embed.Installed(model768)); err != nil {
			t.Skipf("make model-768 installs it: %v", err)
		}
		if end, ok := t.Deadline(); ok && time.Until(end) < 15*time.Minute {
			t.Skip("the first time, ten minutes go into the vectors: run this with -timeout 30m")
		}
		testRefinedOnTweets(t, o, model768, 10)
	})
}

// testRefinedOnTweets wants at most one of so many rows measured a query.
func testRefinedOnTweets(t *testing.T, o options, model string, oneOf int) {
	v, err := o.embedded(model, t.Output())(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pca, err := fit(v.items, through)
	if err != nil {
		t.Fatal(err)
	}
	exact := bruteForce(v.items, v.queries)
	for _, options := range [][]similarity.Option{nil, {similarity.Quantized()}} {
		refined, err := similarity.NewRefined(similarity.Euclidean, pca, options...)
		if err != nil {
			t.Fatal(err)
		}
		if err := refined.Add(v.items...); err != nil {
			t.Fatal(err)
		}
		for _, batch := range []int{1, queries} {
			var found [][]int
			measured := 0
			for some := range slices.Chunk(v.queries, batch) {
				hits, work, err := refined.Search(t.Context(), some, neighbours, 0)
				if err != nil {
					t.Fatal(err)
				}
				ids, err := rows(hits)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, ids...)
				for _, w := range work {
					if !w.Proved {
						t.Fatalf("an answer that is not proved, in batches of %d", batch)
					}
					measured += w.Measured
				}
			}
			if len(found) != queries {
				t.Fatalf("%d answers", len(found))
			}
			for i := range found {
				if !slices.Equal(found[i], exact[i]) {
					t.Fatalf("query %d, in batches of %d: found %v; exact are %v", i, batch, found[i], exact[i])
				}
			}
			t.Logf("%d options, batches of %d: %d of %d rows measured a query", len(options), batch, measured/queries, len(v.items))
			if measured > queries*len(v.items)/oneOf {
				t.Errorf("%d rows measured a query is more than 1 in %d", measured/queries, oneOf)
			}
		}
	}
	short, err := pca.Transform(t.Context(), v.queries)
	if err != nil {
		t.Fatal(err)
	}
	for i, it := range v.items {
		values := make([]float32, through)
		if err := pca.TransformInto(values, it.Vector); err != nil {
			t.Fatal(err)
		}
		v.items[i].Vector.Values = values
	}
	if alone := agreement(bruteForce(v.items, short), exact); alone > 0.95 {
		t.Errorf("by the scanned values alone, %.3f of the ids are the exact ones: refining is not tested", alone)
	}
}

// The brute force that all are held against, against a sum and a sort.
func TestBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	g := newGenerator(37)
	items := g.items(5, 0, 500)
	items = append(items, items[:20]...) // equally near: the first one first
	for range 5 {
		q := items[rng.IntN(len(items))].Vector
		type near struct {
			row int
			d   float64
		}
		var all []near
		for row, it := range items {
			sum := 0.0
			for d, x := range it.Vector.Values {
				e := float64(x) - float64(q.Values[d])
				sum += e * e
			}
			all = append(all, near{row, sum})
		}
		slices.SortStableFunc(all, func(a, b near) int {
			switch {
			case a.d < b.d:
				return -1
			case a.d > b.d:
				return 1
			}
			return 0
		})
		got := bruteForce(items, []vector.Vector{q})[0]
		for i, row := range got {
			if row != all[i].row {
				t.Fatalf("got %v, want %v", got, all[:neighbours])
			}
		}
	}
}

// A report has a row for every system of every case, and names the cases.
func TestReport(t *testing.T) {
	b := &bench{set: set{name: "768", dim: 768}, count: 1000, origin: "made up"}
	for _, batch := range []int{1, 64, 1000} {
		c := &comparison{name: b.caseName(batch), batch: batch, systems: systems(), ms: make(map[string][]float64), agree: make(map[string]float64), work: map[string][]float64{refinedCodes: {3, 4}}}
		for i, s := range systems() {
			c.ms[s] = []float64{float64(i + 1)}
		}
		c.ms[plainIndex], c.limits = []float64{4, 1, 2}, []float64{1, 10, 100} // a busy moment does not count
		b.cases = append(b.cases, c)
	}
	r := report{benches: []*bench{b}, growth: []growth{{10_000, 1, 2, &approximate{single: 0.25, batch: 0.125, recall: similarity.Recall{Value: 0.96, Probes: 3, Lists: 200}}}}}
	got := make(map[string]float64)
	for _, row := range r.rows() {
		got[row.Case+": "+row.System] = row.Value
		if recall := strings.Contains(row.Case, "recall"); recall != (row.Metric == "part found" && row.Better == "higher") || !recall && (row.Metric != "ms/query" || row.Better != "lower") {
			t.Errorf("%+v", row)
		}
	}
	for name, want := range map[string]float64{
		"768 single: millrace": 2, "768 batch 64: faiss": 5, "768 batch 1000: usearch": 8,
		"768 single quantized: millrace": 2, "768 single quantized: millrace plain": 2, "768 single quantized: faiss": 5,
		"768 single filter and refine through 150: millrace": 3, "768 single filter and refine through 150: faiss": 5,
		"768 single filter and refine through 150 quantized: millrace": 4,
		"growth 10000 rows of 150 single: millrace":                    1, "growth 10000 rows of 150 approximate single: millrace": 0.25,
		"growth 10000 rows of 150 approximate recall@10: millrace": 0.96,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v, of %v", name, got[name], want, got)
		}
	}
	if text := r.text(); !strings.Contains(text, "768 single: 2.50 times as fast as faiss, the fastest peer; reads 1.5 GB/s, 0.31 of the 10.0 that") || !strings.Contains(text, "It measures 4 rows a query at the median") || !strings.Contains(text, "| 10000 | 1.0000 | 100.00 |") || !strings.Contains(text, "| 10000 | 3 of 200 |") {
		t.Error(text)
	}
}
