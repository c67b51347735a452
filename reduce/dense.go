package reduce

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/millrace-go/millrace/internal/dense"
	"github.com/millrace-go/millrace/internal/safetensors"
	"github.com/millrace-go/millrace/similarity/vector"
)

// Dense is a layer of a neural network that was trained to shorten vectors:
// activation(W x + b). [OpenDense] makes it; it does not change, and is safe for
// concurrent use.
//
// It takes vectors of any space that have [Dense.Dim] values: which model's
// they must be, its folder does not say.
type Dense struct {
	layer *dense.Layer
	id    string
}

// OpenDense reads the folder of a sentence-transformers Dense module, such as
// 2_Dense of a model's folder: config.json and model.safetensors.
func OpenDense(folder string) (*Dense, error) {
	const weights, pickled = "model.safetensors", "pytorch_model.bin"
	config := filepath.Join(folder, "config.json")
	data, err := os.ReadFile(config)
	if err != nil {
		return nil, fmt.Errorf("reduce: the folder of a Dense module: %w", err)
	}
	layer, err := dense.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("reduce: %s: %w", config, err)
	}
	name := filepath.Join(folder, weights)
	f, err := safetensors.Open(name)
	if err != nil {
		if _, other := os.Stat(filepath.Join(folder, pickled)); other == nil {
			err = fmt.Errorf("weights in Python's pickle format (%s) are not supported; sentence-transformers writes %s with model.save(..., safe_serialization=True)", pickled, weights)
		}
		return nil, fmt.Errorf("reduce: %s: %w", folder, err)
	}
	defer f.Close()
	if err := layer.Read(f.Shaped); err != nil {
		return nil, fmt.Errorf("reduce: %s: %w", name, err)
	}
	h := sha256.New()
	layer.Identify(h)
	return &Dense{layer, fmt.Sprintf("dense %x", h.Sum(nil))}, nil
}

// Transform implements stage.Transform. A vector that does not fit fails alone,
// in a *stage.BatchError, permanently.
func (d *Dense) Transform(ctx context.Context, in []vector.Vector) ([]vector.Vector, error) {
	space := spaces(d.Space)
	return eachAlone(ctx, in, func(_ int, v vector.Vector) (vector.Vector, error) {
		if err := v.CheckIn(v.Space, d.layer.In); err != nil {
			return vector.Vector{}, err
		}
		out := vector.Vector{Space: space(v.Space), Values: make([]float32, d.layer.Out)}
		d.layer.Apply(out.Values, v.Values)
		return out, out.Check()
	})
}

// Space is the space of what it makes of vectors of a space.
func (d *Dense) Space(of string) string { return deriveSpace("dense", d.id, of) }

// Dim is the number of values of the vectors that it takes.
func (d *Dense) Dim() int { return d.layer.In }

// Components is the number of values of the vectors that it gives.
func (d *Dense) Components() int { return d.layer.Out }
