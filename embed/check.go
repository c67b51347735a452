package embed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/millrace-go/millrace/stage"
)

// goldenName is a file that a model's folder may have: a sentence, and what the
// model makes of it where it is known to be right.
const goldenName = "millrace_golden.json"

// golden is the file's content.
type golden struct {
	Text      string    `json:"text"`
	Tokens    []uint32  `json:"tokens"`    // its ids; none: they are not compared
	Vector    []float32 `json:"vector"`    // the first numbers of its vector
	Tolerance float64   `json:"tolerance"` // by which a number may differ; 0: 1e-3
}

func (g *golden) check() error {
	if len(g.Tokens) == 0 && len(g.Vector) == 0 {
		return errors.New("neither tokens nor a vector to compare with")
	}
	return nil
}

// checkText is embedded at the start where the folder has no sentence.
const checkText = "The quick brown fox jumps over the lazy dog."

// check embeds a sentence. A library that does not fit, or a damaged model,
// shows here and not at the first record.
func (m *Model) check(ctx context.Context, g *golden) error {
	text := checkText
	if g != nil {
		text = g.Text
	}
	const failed = "the model fails at the sentence it is tried with"
	tokens, err := m.tokenizer.encode(text)
	if err != nil && g == nil {
		text = "" // not every tokenizer has tokens for any word
	} else if err != nil {
		return fmt.Errorf("%s: %w", failed, err)
	}
	got, err := m.Embed(ctx, []string{text})
	if batch, ok := errors.AsType[*stage.BatchError](err); ok {
		err = batch.Errs[0]
	}
	if err != nil {
		return fmt.Errorf("%s: %w", failed, err)
	}
	if g == nil {
		return nil
	}
	if len(g.Tokens) > 0 && !slices.Equal(g.Tokens, tokens.ids) {
		return fmt.Errorf("%s: %q has the tokens %v, and %s says %v", failed, text, tokens.ids, goldenName, g.Tokens)
	}
	tolerance := g.Tolerance
	if tolerance == 0 {
		tolerance = 1e-3
	}
	values := got[0].Vector.Values
	if len(g.Vector) > len(values) {
		return fmt.Errorf("%s: %q has a vector of %d numbers, and %s has %d", failed, text, len(values), goldenName, len(g.Vector))
	}
	for i, want := range g.Vector {
		if math.Abs(float64(values[i])-float64(want)) > tolerance {
			return fmt.Errorf("%s: number %d of the vector of %q is %g, and %s says %g", failed, i, text, values[i], goldenName, want)
		}
	}
	return nil
}
