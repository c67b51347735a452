package reduce

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/millrace-go/millrace/similarity/vector"
)

// Truncate keeps a vector's first values, as many as the number says. That is
// for models that were trained so that those are a vector of their own
// (Matryoshka); of others it keeps what happens to stand first. Their length is
// what it is: chain [Normalize] behind it for vectors of length 1.
//
// It implements stage.Transform of vectors of any space, and is safe for
// concurrent use. A shorter vector fails alone, permanently.
type Truncate int

// Transform implements stage.Transform.
func (t Truncate) Transform(ctx context.Context, in []vector.Vector) ([]vector.Vector, error) {
	if t < 1 {
		return nil, fmt.Errorf("reduce: vectors cannot be truncated to %d values: ask for at least 1", int(t))
	}
	space := spaces(t.Space)
	return eachAlone(ctx, in, func(_ int, v vector.Vector) (vector.Vector, error) {
		if err := v.Check(); err != nil {
			return vector.Vector{}, err
		}
		if len(v.Values) < int(t) {
			return vector.Vector{}, fmt.Errorf("%d values cannot be truncated to %d", len(v.Values), int(t))
		}
		return vector.Vector{Space: space(v.Space), Values: append([]float32(nil), v.Values[:t]...)}, nil
	})
}

// Space is the space of what it makes of vectors of a space.
func (t Truncate) Space(of string) string {
	return deriveSpace(fmt.Sprintf("truncated-%d", int(t)), "", of)
}

// Normalize gives vectors the Euclidean length 1, so that they differ by
// direction only: the order of their Euclidean distances is then that of their
// angles. Before a PCA, it makes that good for cosine.
//
// The zero value is ready. It implements stage.Transform of vectors of any
// space, and is safe for concurrent use. A vector of zeros has no direction: it
// fails alone, permanently.
type Normalize struct{}

// Transform implements stage.Transform.
func (n Normalize) Transform(ctx context.Context, in []vector.Vector) ([]vector.Vector, error) {
	space := spaces(n.Space)
	return eachAlone(ctx, in, func(_ int, v vector.Vector) (vector.Vector, error) {
		if err := v.Check(); err != nil {
			return vector.Vector{}, err
		}
		squares := 0.0 // float32 squares are neither too large nor too small for it
		for _, x := range v.Values {
			squares += float64(x) * float64(x)
		}
		if squares == 0 {
			return vector.Vector{}, errors.New("all values are 0: there is no direction to keep")
		}
		out := vector.Vector{Space: space(v.Space), Values: make([]float32, len(v.Values))}
		length := math.Sqrt(squares)
		for i, x := range v.Values {
			out.Values[i] = float32(float64(x) / length)
		}
		return out, nil
	})
}

// Space is the space of what it makes of vectors of a space.
func (n Normalize) Space(of string) string { return deriveSpace("normalized", "", of) }
