package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/millrace-go/millrace/benchmarks/internal/archive"
	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// held is how many vectors are no rows but questions.
const held = 300

// data are the vectors, and what they are.
type data struct {
	what      string
	items     []similarity.Item
	questions []vector.Vector
	pca       *reduce.PCA // to the largest of the sizes, fitted to the rows
}

func (o *options) data(ctx context.Context, errs io.Writer) (*data, error) {
	d := &data{what: fmt.Sprintf("made-up vectors of %d values, in clusters", o.dim)}
	var vectors []vector.Vector
	if o.archive == "" {
		vectors = o.clusters()
	} else {
		var err error
		if vectors, err = o.tweets(ctx, errs); err != nil {
			return nil, err
		}
		d.what = "tweets, embedded by " + o.model
	}
	rand.New(rand.NewPCG(o.seed, 0)).Shuffle(len(vectors), func(i, j int) { vectors[i], vectors[j] = vectors[j], vectors[i] })
	d.questions = vectors[:held]
	for i, v := range vectors[held:] {
		d.items = append(d.items, similarity.Item{ID: fmt.Sprintf("%06d", i), Vector: v})
	}
	if largest := o.sizes[len(o.sizes)-1]; largest >= len(vectors[0].Values) {
		return nil, fmt.Errorf("-sizes: %d of %d dimensions: name those below all", largest, len(vectors[0].Values))
	}
	var fitter reduce.PCAFitter
	err := fitter.Add(vectors[held:]...)
	if err == nil {
		d.pca, err = fitter.Fit(o.sizes[len(o.sizes)-1])
	}
	return d, err
}

// clusters are vectors of length 1 around 300 centres; directions are of falling
// strength.
func (o *options) clusters() []vector.Vector {
	rng := rand.New(rand.NewPCG(o.seed, 1))
	centres := make([]float64, 300*o.dim)
	for i := range centres {
		centres[i] = rng.NormFloat64()
	}
	vectors := make([]vector.Vector, o.rows+held)
	for i := range vectors {
		values, square := make([]float32, o.dim), 0.0
		centre := centres[rng.IntN(300)*o.dim:]
		for d := range values {
			x := (centre[d] + 0.7*rng.NormFloat64()) * math.Pow(float64(d+1), -0.6)
			values[d] = float32(x)
			square += x * x
		}
		for d := range values {
			values[d] /= float32(math.Sqrt(square))
		}
		vectors[i] = vector.Vector{Space: "made up", Values: values}
	}
	return vectors
}

// tweets gives the vectors of the archive.
func (o *options) tweets(ctx context.Context, errs io.Writer) ([]vector.Vector, error) {
	texts, err := archive.Texts(o.archive, o.rows+held)
	if err != nil {
		return nil, err
	}
	if len(texts) <= held+1000 {
		return nil, fmt.Errorf("%s has %d texts: too few", o.archive, len(texts))
	}
	return archive.Vectors(ctx, texts, o.model, errs)
}
