package bigquery_test

import (
	"context"
	"fmt"
	"log"

	bq "cloud.google.com/go/bigquery"
	rest "google.golang.org/api/bigquery/v2"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/bigquery"
	"github.com/millrace-go/millrace/similarity/vector"
)

func Example() {
	ctx := context.Background()
	client, err := bq.NewClient(ctx, "my-project")
	if err != nil {
		log.Print(err)
		return
	}
	defer client.Close()

	items := []similarity.Item{
		{ID: "origin", Vector: vector.Vector{Space: "plane", Values: []float32{0, 0}}},
		{ID: "east", Vector: vector.Vector{Space: "plane", Values: []float32{4, 0}}},
	}
	table := bigquery.Table{Client: client, Dataset: "posts", Name: "vectors"}
	if err := table.Load(ctx, items, func(done, total int) { log.Printf("%d of %d rows", done, total) }); err != nil {
		log.Print(err)
		return
	}
	finder, err := bigquery.Open(ctx, table, "plane", similarity.Euclidean)
	if err != nil {
		log.Print(err)
		return
	}
	hits, err := finder.Nearest(ctx, []vector.Vector{{Space: "plane", Values: []float32{3, 0}}}, 1)
	fmt.Println(hits, err)
}

// A table from a struct, with what one wants to leave out by, and an index.
func ExampleLayout() {
	ctx := context.Background()
	client, err := bq.NewClient(ctx, "my-project")
	if err != nil {
		log.Print(err)
		return
	}
	defer client.Close()

	layout := bigquery.Layout{
		Table: bigquery.Table{Client: client, Dataset: "posts", Name: "vectors"},
		Row: struct {
			Lang    bq.NullString    `bigquery:"lang"`
			Created bq.NullTimestamp `bigquery:"created"`
		}{},
		PartitionBy: "created",
		Index:       &bigquery.VectorIndex{Metric: similarity.Cosine, Store: []string{"lang"}},
	}
	changes, err := layout.Plan(ctx)
	if err != nil {
		log.Print(err)
		return
	}
	for _, c := range changes {
		fmt.Println(c) // and its statement
	}
	if _, err := layout.Ensure(ctx); err != nil {
		log.Print(err)
	}
}

func ExampleFinder_Search() {
	ctx := context.Background()
	client, err := bq.NewClient(ctx, "my-project")
	if err != nil {
		log.Print(err)
		return
	}
	defer client.Close()
	service, err := rest.NewService(ctx)
	if err != nil {
		log.Print(err)
		return
	}
	table := bigquery.Table{Client: client, Dataset: "posts", Name: "vectors"}
	finder, err := bigquery.Open(ctx, table, "plane", similarity.Euclidean,
		bigquery.WithMaxBytesBilled(1<<30), bigquery.WithStatistics(service))
	if err != nil {
		log.Print(err)
		return
	}
	english, err := finder.Where(similarity.Condition{Column: "lang", Value: "en"})
	if err != nil {
		log.Print(err)
		return
	}
	hits, stats, err := english.Search(ctx, []vector.Vector{{Space: "plane", Values: []float32{3, 0}}}, 5)
	fmt.Println(hits, stats.BytesBilled, stats.IndexUsage, err)
}
