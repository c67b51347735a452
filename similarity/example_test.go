package similarity_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

func at(x, y float32) vector.Vector { return vector.Vector{Space: "plane", Values: []float32{x, y}} }

func ExampleIndex() {
	var index similarity.Index // Euclidean; see NewIndex for others
	err := index.Add(
		similarity.Item{ID: "origin", Vector: at(0, 0)},
		similarity.Item{ID: "east", Vector: at(4, 0)},
		similarity.Item{ID: "north", Vector: at(0, 4)},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	hits, err := index.Nearest(context.Background(), []vector.Vector{at(0, 3)}, 2)
	fmt.Println(hits, err)
	// Output:
	// [[{north 1} {origin 3}]] <nil>
}

func ExampleNearest() {
	var index similarity.Index
	if err := index.Add(similarity.Item{ID: "origin", Vector: at(0, 0)}); err != nil {
		fmt.Println(err)
		return
	}
	// A stage calls the transform with batches. A bad record fails alone.
	nearest := similarity.Nearest(&index, 1)
	other := vector.Vector{Space: "sphere", Values: []float32{1, 2}}
	hits, err := nearest.Transform(context.Background(), []vector.Vector{at(3, 4), other})
	fmt.Println(hits[0])
	if batch, ok := errors.AsType[*stage.BatchError](err); ok {
		fmt.Println(batch.Errs[1])
	}
	// Output:
	// [{origin 5}]
	// similarity: query 1: vector: of space "sphere" where space "plane" is wanted: made by another model or reducer, so a distance would mean nothing
}
