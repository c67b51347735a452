package embed_test

import (
	"context"
	"fmt"
	"log"

	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

func Example() {
	model, err := embed.Open(embed.Installed("all-MiniLM-L6-v2"))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()

	vectors, err := model.Transform(context.Background(), []string{
		"The harbour is full of ships.",
		"There are many boats in the port.",
		"Taxes are too high.",
	})
	if err != nil {
		log.Fatal(err)
	}
	// Vectors of length 1: their inner product is their similarity.
	similarity := func(a, b vector.Vector) (sum float32) {
		for i := range a.Values {
			sum += a.Values[i] * b.Values[i]
		}
		return sum
	}
	fmt.Println(model.Dim())
	fmt.Printf("%.2f %.2f\n", similarity(vectors[0], vectors[1]), similarity(vectors[0], vectors[2]))
	// Output:
	// 384
	// 0.71 0.06
}

// A model is a stage's Transform; Lift makes it work on one field of a record.
func Example_stage() {
	type post struct {
		Text   string
		Vector vector.Vector
	}
	model, err := embed.Open(embed.Installed("all-MiniLM-L6-v2"))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()

	posts := stage.Lift(model,
		func(p post) string { return p.Text },
		func(p post, v vector.Vector) post { p.Vector = v; return p })
	out, err := posts.Transform(context.Background(), []post{{Text: "It rains."}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out[0].Text, len(out[0].Vector.Values))
	// Output: It rains. 384
}

// Throughput before latency: as many batches at once as there are processors.
func ExampleWithThreads() {
	model, err := embed.Open(embed.Installed("all-MiniLM-L6-v2"), embed.WithThreads(1))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
}
