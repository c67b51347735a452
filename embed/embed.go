package embed

import (
	"context"
	"errors"
	"fmt"

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
	out := make([]vector.Vector, len(in))
	err := m.each(ctx, in, nil, func(i int, r *result) {
		out[i] = vector.Vector{Space: m.space, Values: r.values}
	})
	return kept(out, err)
}

// Embed is Transform that also tells how much of each text counted.
func (m *Model) Embed(ctx context.Context, texts []string) ([]Embedding, error) {
	out := make([]Embedding, len(texts))
	err := m.each(ctx, texts, nil, func(i int, r *result) {
		out[i] = Embedding{vector.Vector{Space: m.space, Values: r.values}, r.tokens, r.truncated}
	})
	return kept(out, err)
}

// EmbedInto writes the texts' vectors to dst, one after the other: len(texts) x
// Dim numbers, in the model's [Model.Space]. For each text it allocates what the
// tokenizer does and no more. Otherwise it is like Transform; the numbers of a
// text that failed are as they were.
func (m *Model) EmbedInto(ctx context.Context, dst []float32, texts []string) error {
	if len(dst) != len(texts)*m.Dim() {
		return fmt.Errorf("embed: %d numbers cannot hold %d vectors of %d", len(dst), len(texts), m.Dim())
	}
	return m.each(ctx, texts, dst, nil)
}

// kept gives results only where some count: there is no error, or one that says
// which of them do.
func kept[T any](out []T, err error) ([]T, error) {
	if _, partial := errors.AsType[*stage.BatchError](err); err != nil && !partial {
		return nil, err
	}
	return out, err
}

// each embeds the texts, into dst or, if that is nil, into memory of their own,
// and calls done for each that went well.
func (m *Model) each(ctx context.Context, texts []string, dst []float32, done func(i int, r *result)) error {
	m.use.RLock()
	defer m.use.RUnlock()
	if m.closed {
		return ErrClosed
	}
	j, _ := m.jobs.Get().(*job)
	if j == nil {
		j = &job{model: m}
	}
	defer func() {
		j.forget()
		m.jobs.Put(j)
	}()
	var errs []error
	for from := 0; from < len(texts); {
		to := from + window(texts[from:])
		into := dst
		if dst != nil {
			into = dst[from*m.head.dim : to*m.head.dim]
		}
		if err := j.run(ctx, texts[from:to], into); err != nil {
			return err
		}
		for i := range j.results {
			switch r := &j.results[i]; {
			case r.err != nil:
				if errs == nil {
					errs = make([]error, len(texts))
				}
				errs[from+i] = r.err
			case done != nil:
				done(from+i, r)
			}
		}
		from = to
	}
	if errs != nil {
		return &stage.BatchError{Errs: errs}
	}
	return nil
}

// What is in memory at once, besides texts and vectors: the tokens of so many
// texts, or of so many bytes of text.
const (
	windowTexts = 4096
	windowBytes = 16 << 20
)

// window is how many of the texts are worked on at once.
func window(texts []string) int {
	bytes := 0
	for i, t := range texts {
		if bytes += len(t); i > 0 && (i == windowTexts || bytes > windowBytes) {
			return i
		}
	}
	return len(texts)
}
