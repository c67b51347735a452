package embed

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// Embedding is what a model makes of a text.
type Embedding struct {
	Vector vector.Vector
	// Tokens is how many tokens went into the vector: the text's, its prompt's,
	// and the special ones around them.
	Tokens int
	// Truncated says that the text was longer than the model reads, so that its
	// end (for some models, its beginning) did not count.
	Truncated bool
}

// Transform gives the vector of each text. Any text will do: empty, invalid
// UTF-8, or longer than the model reads, of which the beginning counts. When ctx
// ends, what runs is stopped and the error is the context's. Texts that fail
// alone are in a [*stage.BatchError], and the others have their vectors.
func (m *Model) Transform(ctx context.Context, in []string) ([]vector.Vector, error) {
	all, err := m.Embed(ctx, in)
	if all == nil {
		return nil, err
	}
	out := make([]vector.Vector, len(all))
	for i := range all {
		out[i] = all[i].Vector
	}
	return out, err
}

// Embed is Transform that also tells how much of each text counted.
func (m *Model) Embed(ctx context.Context, texts []string) ([]Embedding, error) {
	m.use.RLock()
	defer m.use.RUnlock()
	if m.closed {
		return nil, ErrClosed
	}
	j := job{model: m, texts: texts, out: make([]Embedding, len(texts)), errs: make([]error, len(texts))}
	for from := 0; from < len(texts); {
		to := from + window(texts[from:])
		if err := j.run(ctx, from, to); err != nil {
			return nil, err
		}
		from = to
	}
	for _, err := range j.errs {
		if err != nil {
			return j.out, &stage.BatchError{Errs: j.errs}
		}
	}
	return j.out, nil
}

// What is in memory at once, besides texts and vectors: the tokens of so many
// texts, or of so many bytes of text.
const (
	windowTexts = 4096
	windowBytes = 16 << 20
)

// window is how many of the texts are tokenized at once.
func window(texts []string) int {
	bytes := 0
	for i, t := range texts {
		if bytes += len(t); i > 0 && (i == windowTexts || bytes > windowBytes) {
			return i
		}
	}
	return len(texts)
}

// job is the texts of one call. Each text's place is written by one goroutine.
type job struct {
	model *Model
	texts []string
	out   []Embedding
	errs  []error // of texts that failed alone
}

// run embeds texts from one place to another. The error is the context's.
func (j *job) run(ctx context.Context, from, to int) error {
	m := j.model
	ids := make([][]uint32, to-from)
	if err := j.tokenize(ctx, from, ids); err != nil {
		return err
	}
	budget := m.settings.batchTokens
	if m.alone {
		budget = 1
	}
	batches := plan(ids, budget, cap(m.runners))
	if len(batches) == 1 || cap(m.runners) == 1 {
		for _, b := range batches {
			if err := j.runBatch(ctx, from, ids, b); err != nil {
				return err
			}
		}
		return nil
	}
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(cap(m.runners))
	for _, b := range batches {
		g.Go(func() error { return j.runBatch(inner, from, ids, b) })
	}
	return j.wait(ctx, g)
}

// wait gives the caller's context's error, not that of the group's.
func (j *job) wait(ctx context.Context, g *errgroup.Group) error {
	if err := g.Wait(); err != nil && ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		return err
	}
	return nil
}

// tokenize gives the ids of the texts from a place on.
func (j *job) tokenize(ctx context.Context, from int, ids [][]uint32) error {
	const chunk = 16 // texts; less is not worth a goroutine
	encode := func(ctx context.Context, at, end int) error {
		for ; at < end; at++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			tokens, err := j.model.tokenizer.encode(j.texts[from+at])
			if err != nil {
				j.errs[from+at] = stage.Permanent(fmt.Errorf("embed: the text's tokens: %w", err))
			}
			ids[at] = tokens.ids
			j.out[from+at].Tokens, j.out[from+at].Truncated = len(tokens.ids), tokens.truncated
		}
		return nil
	}
	if len(ids) <= chunk {
		return encode(ctx, 0, len(ids))
	}
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for at := 0; at < len(ids); at += chunk {
		g.Go(func() error { return encode(inner, at, min(at+chunk, len(ids))) })
	}
	return j.wait(ctx, g)
}

// runBatch runs a batch, of places in ids. If it fails, its texts are tried one
// by one: one of them may be to blame. The error is the context's.
func (j *job) runBatch(ctx context.Context, from int, ids [][]uint32, b batch) error {
	failed := j.tryBatch(ctx, from, ids, b)
	if failed == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if len(b) == 1 {
		if at := from + b[0]; j.errs[at] == nil {
			j.errs[at] = fmt.Errorf("embed: a text of %d tokens: %w", len(ids[b[0]]), failed)
		}
		return nil
	}
	for i := range b {
		if err := j.runBatch(ctx, from, ids, b[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) tryBatch(ctx context.Context, from int, ids [][]uint32, b batch) error {
	m := j.model
	if err := ctx.Err(); err != nil {
		return err
	}
	var r *runner
	select {
	case r = <-m.runners:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { m.runners <- r }()

	texts := make([][]uint32, len(b))
	for i, at := range b {
		texts[i] = ids[at]
	}
	if err := r.run(ctx, texts); err != nil {
		return err
	}
	for i, at := range b {
		if j.errs[from+at] != nil {
			continue
		}
		values := make([]float32, m.head.dim)
		if err := m.head.vector(values, r.text(i, len(texts[i])), r); err != nil {
			j.errs[from+at] = stage.Permanent(fmt.Errorf("embed: a text of %d tokens: %w", len(texts[i]), err))
			continue
		}
		j.out[from+at].Vector = vector.Vector{Space: m.space, Values: values}
	}
	return nil
}
