package embed_test

import (
	"context"
	"fmt"
	"log"
	"path/filepath"
	"strings"

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

// Long texts are cut; Embed tells.
func ExampleModel_Embed() {
	model, err := embed.Open(embed.Installed("all-MiniLM-L6-v2"), embed.WithMaxSeqLength(16))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()

	all, err := model.Embed(context.Background(), []string{"It rains.", strings.Repeat("It rains all day. ", 10)})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range all {
		fmt.Println(len(e.Vector.Values), e.Tokens, e.Truncated)
	}
	// Output:
	// 384 5 false
	// 384 16 true
}

// Models for search put other words before a question than before what is
// searched. Vectors of both are of one space.
func ExampleForQueries() {
	folder := embed.Installed("all-MiniLM-L6-v2") // which has no prompts
	queries, err := embed.Open(folder, embed.ForQueries())
	if err != nil {
		log.Fatal(err)
	}
	defer queries.Close()
	documents, err := embed.Open(folder, embed.ForDocuments())
	if err != nil {
		log.Fatal(err)
	}
	defer documents.Close()
	fmt.Println(queries.Space() == documents.Space())
	// Output: true
}

// An ONNX model with a tokenizer.json beside it, and nothing else.
func ExampleWithPooling() {
	file := filepath.Join(embed.Installed("all-MiniLM-L6-v2"), "model.onnx")
	model, err := embed.Open(file, embed.WithPooling(embed.PoolCLS), embed.WithMaxSeqLength(128), embed.WithNormalize())
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	fmt.Println(model.Dim(), model.MaxSeqLength())
	// Output: 384 128
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

// All threads for one text after the other, for a prompt or a request handler.
func ExampleWithLatency() {
	model, err := embed.Open(embed.Installed("all-MiniLM-L6-v2"), embed.WithLatency())
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
}
