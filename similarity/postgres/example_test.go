package postgres_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/postgres"
	"github.com/millrace-go/millrace/similarity/vector"
)

func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/posts")
	if err != nil {
		log.Print(err)
		return
	}
	defer pool.Close()

	items := []similarity.Item{
		{ID: "origin", Vector: vector.Vector{Space: "plane", Values: []float32{0, 0}}},
		{ID: "east", Vector: vector.Vector{Space: "plane", Values: []float32{4, 0}}},
	}
	table := postgres.Table{Pool: pool, Name: "vectors"}
	if err := table.Load(ctx, items, nil); err != nil {
		log.Print(err)
		return
	}
	finder, err := postgres.Open(ctx, table, "plane", similarity.Euclidean)
	if err != nil {
		log.Print(err)
		return
	}
	hits, err := finder.Nearest(ctx, []vector.Vector{{Space: "plane", Values: []float32{3, 0}}}, 1)
	fmt.Println(hits, err)
}
