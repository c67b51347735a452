package embed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sync/errgroup"

	"github.com/millrace-go/millrace/similarity/vector"
)

// Model is a sentence-transformers model that is ready to run. It is safe for
// concurrent use; make one with [Open].
type Model struct {
	settings  settings
	tokenizer *tokenizer
	pooling   pooling
	normalise bool
	space     string
	dim       int

	sessions []*ort.DynamicAdvancedSession
	runners  chan *runner // those that are free

	use    sync.RWMutex // held for reading while a Transform runs
	closed bool
}

// Open reads a sentence-transformers folder (see the package's documentation
// for what it must have) and loads its model, which takes about half a second
// for 90 MB. Close the model after use.
func Open(dir string, opts ...Option) (*Model, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	f, err := readFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	if err := start(s.library); err != nil {
		return nil, err
	}
	m := &Model{settings: s, pooling: f.pooling.mode, normalise: f.normalise}
	if err := m.load(f); err != nil {
		_ = m.Close() // the error that counts is the first
		return nil, fmt.Errorf("embed: %s: %w", dir, err)
	}
	return m, nil
}

func (m *Model) load(f *folder) (err error) {
	if m.tokenizer, err = newTokenizer(f.tokenizer, f.maxTokens, f.lower); err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	if f.padID != nil {
		m.tokenizer.padID = *f.padID
	}
	if m.space, err = f.space(); err != nil {
		return err
	}
	sig, err := readSignature(f.model)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(f.model), err)
	}

	// A session of one thread runs as many batches at once as are asked of it,
	// each on its caller's thread; one of more threads has them to itself.
	count := max(runtime.GOMAXPROCS(0)/m.settings.threads, 1)
	m.runners = make(chan *runner, count)
	for i := range count {
		if i == 0 || m.settings.threads > 1 {
			session, err := newSession(f.model, sig, m.settings.threads, count == 1)
			if err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(f.model), err)
			}
			m.sessions = append(m.sessions, session)
		}
		r := newRunner(m.sessions[len(m.sessions)-1], sig, m.tokenizer.padID)
		if r.dim == 0 {
			special, err := m.tokenizer.encode("")
			if err != nil {
				return err
			}
			if sig.dim, err = r.probe(special); err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(f.model), err)
			}
			r.dim = sig.dim
		}
		m.runners <- r
	}
	m.dim = sig.dim
	if f.pooling.dim != 0 && f.pooling.dim != m.dim {
		return fmt.Errorf("%s gives vectors of %d numbers, but the pooling's config.json says %d", filepath.Base(f.model), m.dim, f.pooling.dim)
	}
	return nil
}

// space hashes all that decides about a vector: the model's files, the
// tokenizer, and what is done around them.
func (f *folder) space() (string, error) {
	h := sha256.New()
	// Large models keep their weights beside model.onnx, in model.onnx_data or
	// the like. ReadDir sorts.
	dir, model := filepath.Split(f.model)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasPrefix(e.Name(), model) {
			continue
		}
		if err := hashFile(h, filepath.Join(dir, e.Name())); err != nil {
			return "", err
		}
	}
	fmt.Fprintf(h, "tokenizer %d\n", len(f.tokenizer))
	h.Write(f.tokenizer)
	fmt.Fprintf(h, "tokens %d lower %t pooling %s normalise %t\n", f.maxTokens, f.lower, f.pooling.mode, f.normalise)
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

func hashFile(h io.Writer, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%s %d\n", filepath.Base(name), info.Size())
	_, err = io.Copy(h, file)
	return err
}

// Dim is the length of the model's vectors.
func (m *Model) Dim() int { return m.dim }

// Space identifies the model: a hash of its weights, tokenizer, pooling and
// lengths. Vectors of models with the same Space may be compared.
func (m *Model) Space() string { return m.space }

// Transform gives the vector of each text. Any text will do: empty, invalid
// UTF-8, or longer than the model reads, of which the beginning counts. When ctx
// ends, what runs is stopped and the error is the context's.
func (m *Model) Transform(ctx context.Context, in []string) ([]vector.Vector, error) {
	m.use.RLock()
	defer m.use.RUnlock()
	if m.closed {
		return nil, ErrClosed
	}
	ids, err := m.tokenize(ctx, in)
	if err == nil {
		var out []vector.Vector
		if out, err = m.runAll(ctx, ids); err == nil {
			return out, nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("embed: %w", err)
}

// tokenize gives the ids of each text.
func (m *Model) tokenize(ctx context.Context, in []string) ([][]uint32, error) {
	const chunk = 16 // texts; less is not worth a goroutine
	ids := make([][]uint32, len(in))
	encode := func(ctx context.Context, from, to int) error {
		for i := from; i < to; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if ids[i], err = m.tokenizer.encode(in[i]); err != nil {
				return fmt.Errorf("text %d: %w", i, err)
			}
		}
		return nil
	}
	if len(in) <= chunk {
		return ids, encode(ctx, 0, len(in))
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for from := 0; from < len(in); from += chunk {
		g.Go(func() error { return encode(ctx, from, min(from+chunk, len(in))) })
	}
	return ids, g.Wait()
}

// runAll runs the model on all texts, in batches, on as many runners as are
// free.
func (m *Model) runAll(ctx context.Context, ids [][]uint32) ([]vector.Vector, error) {
	out := make([]vector.Vector, len(ids))
	batches := plan(ids, m.settings.batchTokens, cap(m.runners))
	if len(batches) == 1 || cap(m.runners) == 1 {
		for _, b := range batches {
			if err := m.runBatch(ctx, b, ids, out); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(m.runners))
	for _, b := range batches {
		g.Go(func() error { return m.runBatch(ctx, b, ids, out) })
	}
	return out, g.Wait()
}

func (m *Model) runBatch(ctx context.Context, b batch, ids [][]uint32, out []vector.Vector) error {
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
	tokens, width, err := r.run(ctx, texts)
	if err != nil {
		return err
	}
	for i, at := range b {
		values := make([]float32, m.dim)
		if r.rank == 2 {
			copy(values, tokens[i*m.dim:])
		} else {
			m.pooling.pool(values, tokens[i*width*m.dim:][:len(texts[i])*m.dim])
		}
		if m.normalise {
			normalise(values)
		}
		out[at] = vector.Vector{Space: m.space, Values: values}
	}
	return nil
}

// Close frees the model. It waits for the Transforms that run, so end their
// contexts to have it sooner; later ones return [ErrClosed]. Calling it again
// does nothing.
func (m *Model) Close() error {
	m.use.Lock()
	defer m.use.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	var err error
	for _, s := range m.sessions {
		err = errors.Join(err, s.Destroy())
	}
	if m.tokenizer != nil {
		m.tokenizer.close()
	}
	if err != nil {
		return fmt.Errorf("embed: %w", err)
	}
	return nil
}
