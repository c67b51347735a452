package embed

import (
	"encoding/binary"
	"fmt"
	"hash"
	"math"

	"github.com/millrace-go/millrace/internal/dense"
)

// step is what happens to a text's vector after the pooling: a module of the
// folder, or an option.
type step interface {
	// size gives the length of the vectors made from such of length in.
	size(in int) (int, error)
	// apply makes a vector from v, in v's memory or in spare's, which is as
	// long as the longest vector needs; rest is the memory that is free then.
	apply(v, spare []float32) (out, rest []float32)
	// identify writes to h all that decides about the result.
	identify(h hash.Hash)
}

// normalise gives a vector the length 1. A vector of zeros stays as it is.
type normalise struct{}

func (normalise) size(in int) (int, error) { return in, nil }

func (normalise) apply(v, spare []float32) (out, rest []float32) {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	scale(v, float32(max(math.Sqrt(sum), 1e-12))) // the bound is torch's
	return v, spare
}

func (normalise) identify(h hash.Hash) { fmt.Fprintln(h, "normalise") }

// truncate keeps a vector's first numbers, for models that were trained so that
// those are a vector of their own (Matryoshka).
type truncate int

func (t truncate) size(in int) (int, error) {
	if int(t) > in {
		return 0, fmt.Errorf("a vector of %d numbers cannot be truncated to %d", in, int(t))
	}
	return int(t), nil
}

func (t truncate) apply(v, spare []float32) (out, rest []float32) { return v[:t], spare }

func (t truncate) identify(h hash.Hash) { fmt.Fprintln(h, "truncate", int(t)) }

// denseStep is sentence-transformers' Dense module.
type denseStep struct{ *dense.Layer }

func (d denseStep) size(in int) (int, error) {
	if in != d.In {
		return 0, fmt.Errorf("a Dense module of in_features %d cannot take a vector of %d", d.In, in)
	}
	return d.Out, nil
}

func (d denseStep) apply(v, spare []float32) (out, rest []float32) {
	out = spare[:d.Out]
	d.Apply(out, v)
	return out, v[:cap(v)]
}

func (d denseStep) identify(h hash.Hash) { d.Identify(h) }

// layerNorm is sentence-transformers' LayerNorm module, torch.nn.LayerNorm.
type layerNorm struct{ weight, bias []float32 }

func (l *layerNorm) size(in int) (int, error) {
	if in != len(l.weight) {
		return 0, fmt.Errorf("a LayerNorm of %d numbers cannot take a vector of %d", len(l.weight), in)
	}
	return in, nil
}

func (l *layerNorm) apply(v, spare []float32) (out, rest []float32) {
	mean, variance := 0.0, 0.0
	for _, x := range v {
		mean += float64(x)
	}
	mean /= float64(len(v))
	for _, x := range v {
		variance += (float64(x) - mean) * (float64(x) - mean)
	}
	deviation := math.Sqrt(variance/float64(len(v)) + 1e-5) // torch's epsilon
	for i, x := range v {
		v[i] = float32((float64(x)-mean)/deviation)*l.weight[i] + l.bias[i]
	}
	return v, spare
}

func (l *layerNorm) identify(h hash.Hash) {
	fmt.Fprintln(h, "layer norm", len(l.weight))
	hashFloats(h, l.weight, l.bias)
}

func hashFloats(h hash.Hash, lists ...[]float32) {
	for _, list := range lists {
		_ = binary.Write(h, binary.LittleEndian, list) // a hash takes everything
	}
}
