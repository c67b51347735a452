package embed

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// pooling is how the vectors of a text's tokens become one. The value is the
// name in sentence-transformers' files.
type pooling string

const (
	poolMean pooling = "mean" // of all tokens
	poolCLS  pooling = "cls"  // the first token's
	poolMax  pooling = "max"  // the largest of all tokens, number by number
)

// pool writes the vector of one text to dst. tokens holds the vectors of its
// tokens, one after the other, without padding; dst is zero.
func (p pooling) pool(dst, tokens []float32) {
	dim := len(dst)
	switch p {
	case poolCLS:
		copy(dst, tokens)
	case poolMax:
		for at := 0; at < len(tokens); at += dim {
			row := tokens[at:][:dim]
			for i, v := range row {
				if at == 0 || v > dst[i] {
					dst[i] = v
				}
			}
		}
	case poolMean:
		for at := 0; at < len(tokens); at += dim {
			row := tokens[at:][:dim]
			for i, v := range row {
				dst[i] += v
			}
		}
		n := float32(max(len(tokens)/dim, 1))
		for i := range dst {
			dst[i] /= n
		}
	}
}

// normalise gives v the length 1. A vector of zeros stays as it is.
func normalise(v []float32) {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	norm := float32(max(math.Sqrt(sum), 1e-12)) // the bound is torch's
	for i := range v {
		v[i] /= norm
	}
}

// poolingConfig is config.json of a Pooling module.
type poolingConfig struct {
	mode pooling
	dim  int // 0: not said
}

// parsePooling reads both forms of the file: one switch for each mode, or, from
// sentence-transformers 6 on, the mode's name or a list of names.
func parsePooling(data []byte) (c poolingConfig, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return c, err
	}
	var modes []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		raw := fields[key]
		switch {
		case key == "word_embedding_dimension" || key == "embedding_dimension":
			err = json.Unmarshal(raw, &c.dim)
		case key == "pooling_mode":
			if len(raw) > 0 && raw[0] == '"' {
				modes = append(modes, "")
				err = json.Unmarshal(raw, &modes[len(modes)-1])
			} else {
				var list []string
				err = json.Unmarshal(raw, &list)
				modes = append(modes, list...)
			}
		case strings.HasPrefix(key, "pooling_mode_"):
			on := false
			if err = json.Unmarshal(raw, &on); on {
				name := strings.TrimPrefix(key, "pooling_mode_")
				modes = append(modes, strings.TrimSuffix(strings.TrimSuffix(name, "_tokens"), "_token"))
			}
		}
		if err != nil {
			return c, fmt.Errorf("%s: %w", key, err)
		}
	}
	if c.dim < 0 {
		return c, fmt.Errorf("a dimension of %d", c.dim)
	}
	switch {
	case len(modes) == 0:
		c.mode = poolMean // as sentence-transformers does
	case len(modes) > 1:
		return c, fmt.Errorf("several pooling modes at once (%s) are not supported", strings.Join(modes, ", "))
	default:
		c.mode = pooling(modes[0])
	}
	if c.mode != poolMean && c.mode != poolCLS && c.mode != poolMax {
		return c, fmt.Errorf("the pooling mode %q is not supported; supported are mean, cls, max", c.mode)
	}
	return c, nil
}
