package embed

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/millrace-go/millrace/embed/internal/cache"
)

// Option changes how a model runs; see [Open]. None changes the vectors.
type Option func(*settings)

type settings struct {
	library     string
	threads     int
	batchTokens int
}

// defaultBatchTokens is where batches of tweets run fastest (a batch of 32 with
// 33 tokens each); much larger ones leave the processor's cache.
const defaultBatchTokens = 1024

// WithLibrary names ONNX Runtime's library. By default it is what
// ONNXRUNTIME_SHARED_LIBRARY_PATH says, else the one that embed/setup
// installed. It has no effect when the process has loaded ONNX Runtime before.
func WithLibrary(file string) Option { return func(s *settings) { s.library = file } }

// WithThreads sets how many threads work on one batch, by default GOMAXPROCS,
// which answers a single text soonest; more than GOMAXPROCS count as that many.
// With fewer, GOMAXPROCS/n batches run at once: 1 suits a process that always
// has many texts to do. With n between the two, each of the batches needs its own copy
// of the weights in memory.
func WithThreads(n int) Option { return func(s *settings) { s.threads = n } }

// WithBatchTokens sets how many tokens a batch may have, padding counted, by
// default 1024. Memory grows with it; a text longer than that is a batch alone.
func WithBatchTokens(n int) Option { return func(s *settings) { s.batchTokens = n } }

func newSettings(opts []Option) (settings, error) {
	var s settings
	for _, o := range opts {
		o(&s)
	}
	if s.threads < 0 || s.batchTokens < 0 {
		return s, fmt.Errorf("embed: WithThreads(%d) and WithBatchTokens(%d) must not be negative; 0 is the default", s.threads, s.batchTokens)
	}
	procs := runtime.GOMAXPROCS(0)
	if s.threads == 0 || s.threads > procs {
		s.threads = procs
	}
	if s.batchTokens == 0 {
		s.batchTokens = defaultBatchTokens
	}
	if s.library == "" {
		s.library = os.Getenv(libraryEnv)
	}
	if s.library == "" {
		dir, err := cache.Dir()
		if err != nil {
			return s, fmt.Errorf("embed: where is ONNX Runtime? %s is not set, and %w", libraryEnv, err)
		}
		s.library = filepath.Join(dir, cache.Runtime(), cache.Library)
	}
	return s, nil
}

// Installed is the folder of a model that embed/setup installed: below
// MILLRACE_MODELS, or where the installer puts models by default. It does not
// look whether the folder is there; [Open] does.
func Installed(model string) string {
	if dir := os.Getenv(modelsEnv); dir != "" {
		return filepath.Join(dir, model)
	}
	dir, err := cache.Dir()
	if err != nil {
		return filepath.Join(cache.Models, model)
	}
	return filepath.Join(dir, cache.Models, model)
}
