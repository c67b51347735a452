package embed

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Pooling is how the vectors of a text's tokens become one; see [WithPooling].
// The value is the name in sentence-transformers' files.
type Pooling string

// The poolings that sentence-transformers knows.
const (
	PoolCLS          Pooling = "cls"                  // the first token's
	PoolMax          Pooling = "max"                  // the largest of all tokens, number by number
	PoolMean         Pooling = "mean"                 // the mean of all tokens
	PoolMeanSqrtLen  Pooling = "mean_sqrt_len_tokens" // their sum by the square root of their count
	PoolWeightedMean Pooling = "weightedmean"         // their mean, the n-th counted n times
	PoolLastToken    Pooling = "lasttoken"            // the last token's
)

// poolings are all of them, in the order in which several at once were put
// together before files could say an order.
func poolings() []Pooling {
	return []Pooling{PoolCLS, PoolMax, PoolMean, PoolMeanSqrtLen, PoolWeightedMean, PoolLastToken}
}

// pool writes the vector of one text to dst. tokens holds the vectors of its
// tokens, one after the other, without padding; the first skip of them are a
// prompt that does not count. dst is zero, and stays so where nothing counts.
func (p Pooling) pool(dst, tokens []float32, skip int) {
	dim := len(dst)
	count := len(tokens)/dim - skip
	if count <= 0 {
		return
	}
	tokens = tokens[skip*dim:]
	switch p {
	case PoolCLS:
		copy(dst, tokens)
	case PoolLastToken:
		copy(dst, tokens[(count-1)*dim:])
	case PoolMax:
		copy(dst, tokens)
		for n := 1; n < count; n++ {
			for i, v := range tokens[n*dim:][:dim] {
				dst[i] = max(dst[i], v)
			}
		}
	case PoolMean:
		sum(dst, tokens)
		scale(dst, float32(count))
	case PoolMeanSqrtLen:
		sum(dst, tokens)
		scale(dst, float32(math.Sqrt(float64(count))))
	case PoolWeightedMean:
		// The prompt's places count, its tokens do not.
		weights := float32(0)
		for n := range count {
			weight := float32(skip + n + 1)
			weights += weight
			for i, v := range tokens[n*dim:][:dim] {
				dst[i] += weight * v
			}
		}
		scale(dst, weights)
	}
}

func sum(dst, tokens []float32) {
	dim := len(dst)
	for at := 0; at < len(tokens); at += dim {
		for i, v := range tokens[at:][:dim] {
			dst[i] += v
		}
	}
}

func scale(v []float32, by float32) {
	for i := range v {
		v[i] /= by
	}
}

// poolingConfig is config.json of a Pooling module.
type poolingConfig struct {
	modes         []Pooling // their vectors stand one after the other
	dim           int       // of a token's vector; 0: not said
	withoutPrompt bool      // the prompt's tokens do not count
}

// parsePooling reads both forms of the file: a switch for each mode, or, from
// sentence-transformers 5.4 on, the mode's name or a list of names, which
// counts where both are there.
func parsePooling(data []byte) (c poolingConfig, err error) {
	var file struct {
		Dim     int             `json:"embedding_dimension"`
		OldDim  int             `json:"word_embedding_dimension"`
		Mode    json.RawMessage `json:"pooling_mode"`
		Include *bool           `json:"include_prompt"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return c, err
	}
	c.dim = max(file.Dim, file.OldDim)
	if min(file.Dim, file.OldDim) < 0 {
		return c, fmt.Errorf("a dimension of %d", min(file.Dim, file.OldDim))
	}
	c.withoutPrompt = file.Include != nil && !*file.Include

	if file.Mode == nil {
		c.modes, err = oldModes(data)
		return c, err
	}
	if err := json.Unmarshal(file.Mode, &c.modes); err != nil {
		c.modes = make([]Pooling, 1)
		if err := json.Unmarshal(file.Mode, &c.modes[0]); err != nil {
			return c, fmt.Errorf("pooling_mode: %w", err)
		}
	}
	return c, checkPoolings(c.modes)
}

func oldModes(data []byte) (modes []Pooling, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	for key, raw := range fields {
		name, isMode := strings.CutPrefix(key, "pooling_mode_")
		if !isMode {
			continue
		}
		on := false
		if err := json.Unmarshal(raw, &on); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if !on {
			continue
		}
		if name != string(PoolMeanSqrtLen) {
			name = strings.TrimSuffix(strings.TrimSuffix(name, "_tokens"), "_token")
		}
		modes = append(modes, Pooling(name))
	}
	if len(modes) == 0 {
		return []Pooling{PoolMean}, nil // as sentence-transformers does
	}
	if err := checkPoolings(modes); err != nil {
		return nil, err
	}
	order := poolings()
	slices.SortFunc(modes, func(a, b Pooling) int { return slices.Index(order, a) - slices.Index(order, b) })
	return modes, nil
}

func checkPoolings(modes []Pooling) error {
	if len(modes) == 0 {
		return fmt.Errorf("no pooling mode; there are %s", poolingNames())
	}
	for _, m := range modes {
		if !slices.Contains(poolings(), m) {
			return fmt.Errorf("the pooling mode %q is not supported; supported are %s", m, poolingNames())
		}
	}
	return nil
}

func poolingNames() string {
	var names []string
	for _, p := range poolings() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}
