package embed

import (
	"fmt"
	"math"
)

// head makes a text's vector from what the model gives for it.
type head struct {
	modes []Pooling // none: the model's output is one vector a text
	skip  int       // tokens that do not count
	steps []step

	token  int // the length of what the model gives: a token's vector, or the text's
	widest int // the longest vector on the way
	dim    int // the length of the result
}

// newHead checks that each part takes what the one before it makes.
func newHead(f *folder, o *output, dim, skip int) (h head, err error) {
	h = head{steps: f.steps, token: dim, dim: dim}
	switch {
	case o.complete():
		h.steps = nil // but for the end, they have been applied
		for _, s := range f.steps {
			switch s.(type) {
			case normalise, truncate:
				h.steps = append(h.steps, s)
			}
		}
	case o.rank == 3 && len(f.pooling.modes) == 0:
		return h, fmt.Errorf("the model's output %s has a vector for each token, and modules.json has no Pooling: WithPooling says how to pool", o.name)
	case o.rank == 3:
		if f.pooling.dim != 0 && f.pooling.dim != dim {
			return h, fmt.Errorf("the model gives vectors of %d numbers, but the pooling's config.json says %d", dim, f.pooling.dim)
		}
		h.modes, h.skip = f.pooling.modes, skip
		h.dim = dim * len(h.modes)
	}
	h.widest = h.dim
	for _, s := range h.steps {
		if h.dim, err = s.size(h.dim); err != nil {
			return h, err
		}
		h.widest = max(h.widest, h.dim)
	}
	return h, nil
}

// vector writes a text's vector to dst, which is of length dim. given is what
// the model gave for it; r lends the memory for the way.
func (h *head) vector(dst, given []float32, r *runner) error {
	r.spot, r.rest = grown(r.spot, h.widest), grown(r.rest, h.widest)
	v, spare := r.spot[:h.token], r.rest
	if len(h.modes) == 0 {
		copy(v, given)
	} else {
		v = r.spot[:h.token*len(h.modes)]
		clear(v)
		for i, mode := range h.modes {
			mode.pool(v[i*h.token:][:h.token], given, h.skip)
		}
	}
	for _, s := range h.steps {
		v, spare = s.apply(v, spare)
	}
	for i, x := range v {
		if math.Float32bits(x)&0x7f800000 == 0x7f800000 {
			return fmt.Errorf("number %d of the vector is %v", i, x)
		}
	}
	copy(dst, v)
	return nil
}
