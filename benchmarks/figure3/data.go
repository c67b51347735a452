package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/millrace-go/millrace/benchmarks/internal/archive"
	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/internal/npy"
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

// tweets embeds the archive, or reads what it embedded before.
func (o *options) tweets(ctx context.Context, errs io.Writer) ([]vector.Vector, error) {
	texts, err := archive.Texts(o.archive, o.rows+held)
	if err != nil {
		return nil, err
	}
	if len(texts) <= held+1000 {
		return nil, fmt.Errorf("%s has %d texts: too few", o.archive, len(texts))
	}
	model, err := embed.Open(embed.Installed(o.model))
	if err != nil {
		return nil, err
	}
	defer model.Close()
	hash := sha256.New()
	_, _ = fmt.Fprintf(hash, "%s %q", model.Space(), texts)
	file, err := cached(fmt.Sprintf("figure3-%x.npy", hash.Sum(nil)[:8]))
	if err != nil {
		return nil, err
	}
	values, err := read(file, len(texts), model.Dim())
	if errors.Is(err, fs.ErrNotExist) {
		if values, err = embedded(ctx, model, texts, errs); err == nil {
			var b bytes.Buffer
			err = errors.Join(npy.Write(&b, values, len(texts), model.Dim()), os.WriteFile(file, b.Bytes(), 0o644))
		}
	}
	if err != nil {
		return nil, err
	}
	vectors := make([]vector.Vector, len(texts))
	for i := range vectors {
		vectors[i] = vector.Vector{Space: model.Space(), Values: values[i*model.Dim() : (i+1)*model.Dim() : (i+1)*model.Dim()]}
	}
	return vectors, nil
}

func embedded(ctx context.Context, model *embed.Model, texts []string, errs io.Writer) ([]float32, error) {
	const batch = 1024
	values := make([]float32, len(texts)*model.Dim())
	for lo := 0; lo < len(texts); lo += batch {
		hi := min(lo+batch, len(texts))
		_, _ = fmt.Fprintf(errs, "embedding: %d of %d\n", lo, len(texts))
		if err := model.EmbedInto(ctx, values[lo*model.Dim():hi*model.Dim()], texts[lo:hi]); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func cached(name string) (string, error) {
	dir := os.Getenv("MILLRACE_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("where may the vectors go? %w; set MILLRACE_CACHE", err)
		}
		dir = filepath.Join(user, "millrace")
	}
	return filepath.Join(dir, name), nil
}

func read(file string, rows, dim int) ([]float32, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a, err := npy.NewReader(f)
	if err != nil {
		return nil, err
	}
	values, err := npy.Values[float32](a)
	if err == nil && len(values) != rows*dim {
		err = fmt.Errorf("%s: %d values, want %d: remove it", file, len(values), rows*dim)
	}
	return values, err
}
