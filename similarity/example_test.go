package similarity_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/millrace-go/millrace/reduce"
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

func ExampleRefined() {
	// Points near a line in the plane: one direction tells nearly all.
	var fitter reduce.PCAFitter
	var items []similarity.Item
	for i := range 1000 {
		v := at(float32(i), float32(i)/2+float32(i%3)/10)
		items = append(items, similarity.Item{ID: fmt.Sprint(i), Vector: v})
		if err := fitter.Add(v); err != nil {
			fmt.Println(err)
			return
		}
	}
	pca, err := fitter.Fit(1)
	if err != nil {
		fmt.Println(err)
		return
	}
	index, err := similarity.NewRefined(similarity.Euclidean, pca)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := index.Add(items...); err != nil {
		fmt.Println(err)
		return
	}
	hits, work, err := index.Search(context.Background(), []vector.Vector{at(500, 250)}, 2, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s and %s, proved: %v, by a look at few: %v\n", hits[0][0].ID, hits[0][1].ID, work[0].Proved, work[0].Measured < 100)
	// Output:
	// 500 and 499, proved: true, by a look at few: true
}

func ExampleQuantized() {
	index := similarity.NewIndex(similarity.Cosine, similarity.Quantized())
	for i := range 1000 {
		if err := index.Add(similarity.Item{ID: fmt.Sprint(i), Vector: at(1, float32(i)/1000)}); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Bytes tell these directions apart no better than to a percent. The answer
	// is exact all the same.
	hits, err := index.Nearest(context.Background(), []vector.Vector{at(1, 0.5)}, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hits[0][0], hits[0][1].ID, hits[0][2].ID)
	// Output:
	// {500 0} 501 499
}

func ExampleIVF() {
	// Points of a grid, where each has others around it.
	var items []similarity.Item
	for i := range 10_000 {
		items = append(items, similarity.Item{ID: fmt.Sprintf("%d,%d", i%100, i/100), Vector: at(float32(i%100), float32(i/100))})
	}
	index, err := similarity.NewIVF(similarity.Euclidean)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := errors.Join(index.Add(items...), index.Train(ctx, 100)); err != nil {
		fmt.Println(err)
		return
	}
	// More than the 0.95 of the 10 nearest that it finds by default.
	recall, err := index.Tune(ctx, nil, 10, 0.99)
	if err != nil {
		fmt.Println(err)
		return
	}
	hits, err := index.Nearest(ctx, []vector.Vector{at(20.1, 30.2)}, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(recall.Value >= 0.99, recall.Probes < recall.Lists/10, hits[0][0].ID, hits[0][1].ID)
	// Output:
	// true true 20,30 20,31
}

func ExampleSpaces() {
	// The old model's index, and the new one's.
	var old, young similarity.Index
	item := func(space string, v ...float32) similarity.Item {
		return similarity.Item{ID: "one", Vector: vector.Vector{Space: space, Values: v}}
	}
	if err := errors.Join(old.Add(item("model-1", 1, 2)), young.Add(item("model-2", 3, 4, 5))); err != nil {
		fmt.Println(err)
		return
	}
	var finder similarity.Spaces
	finder.Put("model-1", &old)
	finder.Put("model-2", &young) // vectors of model-1 may still be under way
	hits, err := finder.Nearest(context.Background(), []vector.Vector{item("model-2", 3, 4, 5).Vector, item("model-1", 1, 2).Vector}, 1)
	fmt.Println(hits, err)
	finder.Drop("model-1")
	// Output:
	// [[{one 0}] [{one 0}]] <nil>
}

func ExampleOpenFile() {
	dir, err := os.MkdirTemp("", "similarity")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "posts.vectors")
	file, err := similarity.OpenFile(path, similarity.Euclidean)
	if err != nil {
		fmt.Println(err)
		return
	}
	// From here on the item survives a kill of this process.
	if err := file.Add(similarity.Item{ID: "origin", Vector: at(0, 0)}); err != nil {
		fmt.Println(err)
		return
	}
	if err := file.Close(); err != nil {
		fmt.Println(err)
		return
	}
	if file, err = similarity.OpenFile(path, similarity.Euclidean); err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()
	hits, err := file.Nearest(context.Background(), []vector.Vector{at(3, 4)}, 1)
	fmt.Println(hits, err)
	// Output:
	// [[{origin 5}]] <nil>
}

func ExampleShadow() {
	// The exact index answers; a candidate for its place is watched.
	var exact, candidate similarity.Index
	err := errors.Join(
		exact.Add(similarity.Item{ID: "origin", Vector: at(0, 0)}, similarity.Item{ID: "east", Vector: at(4, 0)}),
		candidate.Add(similarity.Item{ID: "origin", Vector: at(0, 0)}))
	if err != nil {
		fmt.Println(err)
		return
	}
	finder := &similarity.Shadow{First: &exact, Second: &candidate, MaxInFlight: 2}
	for _, q := range []vector.Vector{at(1, 0), at(3, 0)} {
		hits, err := finder.Nearest(context.Background(), []vector.Vector{q}, 1)
		fmt.Println(hits, err)
	}
	err = finder.Close(context.Background())
	fmt.Printf("%+v %v\n", finder.Stats(), err)
	// Output:
	// [[{origin 1}]] <nil>
	// [[{east 1}]] <nil>
	// {Agreed:1 Disagreed:1 Failed:0 Dropped:0} <nil>
}
