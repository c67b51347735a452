package bigquery_test

import (
	"context"
	"fmt"
	"log"

	bq "cloud.google.com/go/bigquery"

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
