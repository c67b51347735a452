package embed

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// Model is a sentence-transformers model that is ready to run. It is safe for
// concurrent use; make one with [Open].
type Model struct {
	settings  settings
	tokenizer *tokenizer
	head      head
	space     string
	alone     bool // each text is a batch

	sessions []*ort.DynamicAdvancedSession
	runners  chan *runner // those that are free

	jobs   sync.Pool // of *job
	recent *recent

	use    sync.RWMutex // held for reading while a Transform runs
	closed bool
}

// Open reads a sentence-transformers folder (see the package's documentation
// for what it must have) and loads its model, which takes about half a second
// for 90 MB. name may also be an ONNX file, in such a folder or with a
// tokenizer.json beside it. Before Open returns, the model has embedded a
// sentence. Close the model after use.
func Open(name string, opts ...Option) (*Model, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	f, err := readFolder(name, &s)
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	if err := start(s.library); err != nil {
		return nil, err
	}
	m := &Model{settings: s, recent: newRecent(s.recent)}
	err = m.load(f)
	if err == nil {
		err = m.check(context.Background(), f.golden)
	}
	if err != nil {
		_ = m.Close() // the error that counts is the first
		return nil, fmt.Errorf("embed: %s: %w", name, err)
	}
	return m, nil
}

func (m *Model) load(f *folder) (err error) {
	s, file := &m.settings, filepath.Base(f.model)
	skip, err := m.loadTokenizer(f)
	if err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	sig, err := readSignature(f.model, s.output, f.passesOver())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if sig.width > 0 && f.maxTokens > sig.width {
		return fmt.Errorf("%s takes texts of exactly %d tokens, and max_seq_length is %d: WithMaxSeqLength(%d) fits", file, sig.width, f.maxTokens, sig.width)
	}
	if s.batchInvariant != nil {
		m.alone = *s.batchInvariant
	} else {
		m.alone = f.dynamic || f.shifts(&sig)
	}
	m.alone = m.alone || sig.single
	if err := m.loadSessions(f, &sig); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if m.head, err = newHead(f, &sig.output, sig.dim, skip); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	m.space, err = f.space(&sig.output, &m.head, !s.specialAsText)
	return err
}

// loadTokenizer returns how many tokens the pooling passes over.
func (m *Model) loadTokenizer(f *folder) (skip int, err error) {
	if m.tokenizer, err = newTokenizer(&f.transformer, f.prompts.own, !m.settings.specialAsText); err != nil {
		return 0, err
	}
	skip, err = m.tokenizer.promptTokens()
	if !f.pooling.withoutPrompt {
		skip = 0
	}
	return skip, err
}

// loadSessions also finds the length of what the model gives.
func (m *Model) loadSessions(f *folder, sig *signature) error {
	// A session of one thread runs as many batches at once as are asked of it,
	// each on its caller's thread; one of more threads has them to itself.
	count := max(runtime.GOMAXPROCS(0)/m.settings.threads, 1)
	m.runners = make(chan *runner, count)
	for i := range count {
		if i == 0 || m.settings.threads > 1 {
			session, err := newSession(f.model, *sig, m.settings.threads, count == 1)
			if err != nil {
				return err
			}
			m.sessions = append(m.sessions, session)
		}
		r := newRunner(m.sessions[len(m.sessions)-1], *sig, &f.transformer)
		if sig.dim == 0 {
			if err := m.findDim(f, r, sig); err != nil {
				return err
			}
			r.dim = sig.dim
		}
		m.runners <- r
	}
	return nil
}

// findDim finds how long the model's vectors are when it does not say.
func (m *Model) findDim(f *folder, r *runner, sig *signature) error {
	if sig.bytes == 2 && sig.rank == 3 {
		if sig.dim = f.pooling.dim; sig.dim == 0 {
			sig.dim = f.hidden
		}
		if sig.dim > 0 {
			return nil
		}
	}
	special, err := m.tokenizer.encode("")
	if err == nil {
		sig.dim, err = r.probe(special.ids)
	}
	return err
}

// Dim is the length of the model's vectors.
func (m *Model) Dim() int { return m.head.dim }

// Space identifies the model: a hash of its weights, tokenizer, pooling, and
// all options that change vectors. Vectors of models with the same Space may be
// compared.
func (m *Model) Space() string { return m.space }

// MaxSeqLength is how many tokens of a text count, special ones included.
func (m *Model) MaxSeqLength() int { return m.tokenizer.maxTokens }

// BatchInvariant reports whether texts run one by one, so that a vector does
// not depend on the texts beside it; see [WithBatchInvariant].
func (m *Model) BatchInvariant() bool { return m.alone }

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
	for range len(m.runners) { // all are here: nothing runs
		(<-m.runners).close()
	}
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
