package reduce

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// eachAlone makes a vector of each, as a stage.Transform must: one that cannot
// be made fails alone, and would fail again.
func eachAlone(ctx context.Context, in []vector.Vector, one func(i int, v vector.Vector) (vector.Vector, error)) ([]vector.Vector, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("reduce: %w", err)
	}
	out := make([]vector.Vector, len(in))
	var failed *stage.BatchError
	for i, v := range in {
		made, err := one(i, v)
		if err != nil {
			if failed == nil {
				failed = &stage.BatchError{Errs: make([]error, len(in))}
			}
			failed.Errs[i] = stage.Permanent(fmt.Errorf("reduce: vector %d: %w", i, err))
			continue
		}
		out[i] = made
	}
	if failed != nil {
		return out, failed
	}
	return out, nil
}

// deriveSpace names the space of what a reducer makes of vectors of a space; id
// is what tells it from others of its kind.
func deriveSpace(kind, id, of string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %q", kind, id, of))
	return fmt.Sprintf("%s-%x", kind, sum[:16])
}

// spaces remembers what derive last said: one batch has one space, as a rule.
func spaces(derive func(of string) string) func(of string) string {
	var of, derived string
	return func(space string) string {
		if space != of {
			of, derived = space, derive(space)
		}
		return derived
	}
}
