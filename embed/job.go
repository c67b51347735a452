package embed

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-go/millrace/stage"
)

// result is what became of a text.
type result struct {
	values    []float32
	tokens    int
	truncated bool
	err       error // it failed, and the others need not
}

// job embeds some texts at a time, in memory that it keeps. Each text's place
// is written by one goroutine.
type job struct {
	model   *Model
	texts   []string
	results []result // of texts

	first  map[string]int // where a text stands for the first time
	todo   []int          // the places of texts that must be run,
	tokens []tokenized    // and their tokens
	planner
}

// run embeds the texts into dst or, if that is nil, into memory of their own.
// The error is the context's.
func (j *job) run(ctx context.Context, texts []string, dst []float32) error {
	j.take(texts, dst)
	if err := j.tokenize(ctx); err != nil {
		return err
	}
	if err := j.runAll(ctx); err != nil {
		return err
	}
	j.share()
	return nil
}

// take makes the texts those of the job, and finds which must be run: not those
// that stood before.
func (j *job) take(texts []string, dst []float32) {
	j.texts, j.results = texts, grown(j.results, len(texts))
	for i := range j.results {
		j.results[i] = result{}
		if dst != nil {
			dim := j.model.head.dim
			j.results[i].values = dst[i*dim:][:dim:dim]
		}
	}
	j.todo = j.todo[:0]
	if len(j.texts) == 1 { // nothing to look for
		j.need(0)
		return
	}
	if j.first == nil {
		j.first = make(map[string]int, len(j.texts))
	}
	clear(j.first)
	for i, t := range j.texts {
		if _, before := j.first[t]; !before {
			j.first[t] = i
			j.need(i)
		}
	}
}

// need notes that a text must be run, unless it was before this call.
func (j *job) need(i int) {
	if !j.model.recent.get(j.texts[i], &j.results[i]) {
		j.todo = append(j.todo, i)
	}
}

// share keeps the results for later calls, and gives them to the texts that
// stood before.
func (j *job) share() {
	for _, i := range j.todo {
		j.model.recent.put(j.texts[i], &j.results[i])
	}
	if len(j.todo) == len(j.texts) || len(j.texts) == 1 {
		return
	}
	for i, t := range j.texts {
		at := j.first[t]
		if at == i {
			continue
		}
		mine, his := &j.results[i], &j.results[at]
		mine.tokens, mine.truncated, mine.err = his.tokens, his.truncated, his.err
		if his.err == nil {
			mine.values = append(mine.values[:0], his.values...)
		}
	}
}

// forget lets go of the texts and of what was made of them.
func (j *job) forget() {
	clear(j.first)
	clear(j.results[:cap(j.results)])
	clear(j.tokens[:cap(j.tokens)])
	j.texts = nil
}

// tokenize gives the tokens of the texts that must be run.
func (j *job) tokenize(ctx context.Context) error {
	const chunk = 16 // texts; less is not worth a goroutine
	j.tokens = grown(j.tokens, len(j.todo))
	if len(j.todo) <= chunk {
		return j.encode(ctx, 0, len(j.todo))
	}
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for at := 0; at < len(j.todo); at += chunk {
		g.Go(func() error { return j.encode(inner, at, min(at+chunk, len(j.todo))) })
	}
	return wait(ctx, g)
}

func (j *job) encode(ctx context.Context, from, to int) (err error) {
	for i := from; i < to; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		r := &j.results[j.todo[i]]
		if j.tokens[i], err = j.model.tokenizer.encode(j.texts[j.todo[i]]); err != nil {
			r.err = stage.Permanent(fmt.Errorf("embed: the text's tokens: %w", err))
		}
		r.tokens, r.truncated = len(j.tokens[i].ids), j.tokens[i].truncated
	}
	return nil
}

// wait gives the caller's context's error, not that of the group's.
func wait(ctx context.Context, g *errgroup.Group) error {
	err := g.Wait()
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// runAll runs the model on what must be run, in batches, on as many runners as
// are free.
func (j *job) runAll(ctx context.Context) error {
	budget, runners := j.model.settings.batchTokens, cap(j.model.runners)
	if j.model.alone {
		budget = 1
	}
	batches := j.plan(j.tokens, budget, runners)
	if len(batches) == 1 || runners == 1 {
		for _, b := range batches {
			if err := j.runBatch(ctx, b); err != nil {
				return err
			}
		}
		return nil
	}
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(runners)
	for _, b := range batches {
		g.Go(func() error { return j.runBatch(inner, b) })
	}
	return wait(ctx, g)
}

// runBatch runs a batch. If it fails, its texts are tried one by one: one of
// them may be to blame. The error is the context's.
func (j *job) runBatch(ctx context.Context, b batch) error {
	failed := j.tryBatch(ctx, b)
	if failed == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if len(b) == 1 {
		if r := &j.results[j.todo[b[0]]]; r.err == nil {
			r.err = fmt.Errorf("embed: a text of %d tokens: %w", r.tokens, failed)
		}
		return nil
	}
	for i := range b {
		if err := j.runBatch(ctx, b[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) tryBatch(ctx context.Context, b batch) error {
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

	r.ids = grown(r.ids, len(b))
	for i, at := range b {
		r.ids[i] = j.tokens[at].ids
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	for i, at := range b {
		out := &j.results[j.todo[at]]
		if out.err != nil {
			continue
		}
		if out.values == nil {
			out.values = make([]float32, m.head.dim)
		}
		if err := m.head.vector(out.values, r.text(i), r); err != nil {
			out.err = stage.Permanent(fmt.Errorf("embed: a text of %d tokens: %w", out.tokens, err))
		}
	}
	return nil
}
