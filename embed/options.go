package embed

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"

	"github.com/millrace-go/millrace/embed/internal/cache"
	"github.com/millrace-go/millrace/internal/cachedir"
)

// Option changes how a model runs, or what its vectors are; see [Open].
type Option func(*settings)

type settings struct {
	library        string
	threads        int
	batchTokens    int
	recent         int
	batchInvariant *bool // nil: as the model needs it

	// What changes vectors.
	pooling       []Pooling
	output        string
	normalise     bool
	truncateDim   int
	maxTokens     int
	prompt        *string
	promptName    string
	role          role
	specialAsText bool
}

// How many tokens a batch has for each thread that works on it. A tweet takes as
// much of one thread's time in batches of 256 as in those of 512, and 8 % more in
// those of 1024, which leave the processor's cache; and the smaller a batch is,
// the less of it is padding. Threads that share one need more, since they wait
// for each other at every step.
const (
	aloneTokens  = 256
	sharedTokens = 512
)

// WithLibrary names ONNX Runtime's library. By default it is what
// ONNXRUNTIME_SHARED_LIBRARY_PATH says, else the one that embed/setup
// installed. It has no effect when the process has loaded ONNX Runtime before.
func WithLibrary(file string) Option { return func(s *settings) { s.library = file } }

// WithLatency has all of GOMAXPROCS threads work on one batch after the other:
// a single text is answered soonest, and many texts later than by default. It
// suits a process that is asked one text at a time. It is [WithThreads] with
// GOMAXPROCS.
func WithLatency() Option { return WithThreads(math.MaxInt) }

// WithThreads sets how many threads work on one batch, so that GOMAXPROCS/n
// batches run at once. The default is 1, which has the most texts done, since
// no thread waits for another; more than GOMAXPROCS count as that many. With n
// between the two, each of the batches needs its own copy of the weights in
// memory.
func WithThreads(n int) Option { return func(s *settings) { s.threads = n } }

// WithBatchTokens sets how many tokens a batch may have, padding counted, by
// default 256 on one thread, and 512 for each of several. Memory grows with it;
// a text longer than that is a batch alone.
func WithBatchTokens(n int) Option { return func(s *settings) { s.batchTokens = n } }

// WithRecent keeps the vectors of the n texts that were asked for last, for
// when they come again: 4 x Dim bytes each and some 200 more. By default none.
func WithRecent(n int) Option { return func(s *settings) { s.recent = n } }

// WithBatchInvariant says whether a vector must not depend on the texts beside
// it. Then texts run one by one, and the same text always has the same vector,
// to the last bit.
//
// The default is false for models of floating-point numbers, whose vectors
// differ by less than 1e-6 from batch to batch, and true for models that
// quantise as they go (dynamic int8, operators DynamicQuantize...): they choose
// their scale for a whole batch at a time, so that their vectors move by some
// hundredths with what happens to be beside them, even if all texts are of
// equal length.
//
// It costs what batches save: of all-MiniLM-L6-v2 in int8, a text alone takes 1.2
// to 1.3 times the processor's time of one in a batch of tweets or longer texts.
func WithBatchInvariant(on bool) Option { return func(s *settings) { s.batchInvariant = &on } }

// WithPooling sets the pooling, instead of the folder's; of several, the vectors
// stand one after the other. It makes a model of an ONNX file and a
// tokenizer.json without modules.json.
func WithPooling(modes ...Pooling) Option { return func(s *settings) { s.pooling = modes } }

// WithOutput takes an output of the model by name: one of rank 3 is pooled, one
// of rank 2 stands for the pooling's result. By default it is sentence_embedding,
// which is what all of the folder's modules make, else last_hidden_state,
// token_embeddings, or the first of rank 3.
func WithOutput(name string) Option { return func(s *settings) { s.output = name } }

// WithNormalize gives vectors the length 1, also where the folder does not.
func WithNormalize() Option { return func(s *settings) { s.normalise = true } }

// WithTruncateDim keeps the first n numbers of each vector, for models that were
// trained for it. It happens before the last normalising, so that normalised
// vectors are of length 1 (sentence-transformers truncates after it, which
// gives the same directions).
func WithTruncateDim(n int) Option { return func(s *settings) { s.truncateDim = n } }

// WithMaxSeqLength sets how many tokens of a text count, special ones included,
// instead of what the folder says.
func WithMaxSeqLength(n int) Option { return func(s *settings) { s.maxTokens = n } }

// WithPrompt puts a text before each text, instead of the folder's default
// prompt; "" puts none.
func WithPrompt(text string) Option { return func(s *settings) { s.prompt = &text } }

// WithPromptName puts one of the folder's prompts before each text.
func WithPromptName(name string) Option { return func(s *settings) { s.promptName = name } }

// ForQueries makes a model for the questions of a search, with the folder's
// prompt named query, if it has one. Its vectors are of one space with those of
// the same folder opened with [ForDocuments].
func ForQueries() Option { return func(s *settings) { s.role = queryRole } }

// ForDocuments makes a model for what is searched, with the folder's prompt
// named document, passage or corpus, if it has one; see [ForQueries].
func ForDocuments() Option { return func(s *settings) { s.role = documentRole } }

// WithSpecialTokensAsText makes the names of special tokens in a text, such as
// [SEP], text like any other: nobody can put the tokens into a text then. By
// default they count as the tokens, as they do for sentence-transformers.
func WithSpecialTokensAsText() Option { return func(s *settings) { s.specialAsText = true } }

// changeVectors reports whether an option was given that does.
func (s *settings) changeVectors() bool {
	return len(s.pooling) > 0 || s.output != "" || s.normalise || s.truncateDim > 0 || s.maxTokens > 0 ||
		s.prompt != nil || s.promptName != "" || s.role != noRole || s.specialAsText
}

func (s *settings) check() error {
	for name, n := range map[string]int{"WithThreads": s.threads, "WithBatchTokens": s.batchTokens, "WithRecent": s.recent, "WithTruncateDim": s.truncateDim, "WithMaxSeqLength": s.maxTokens} {
		if n < 0 {
			return fmt.Errorf("embed: %s(%d) must not be negative; 0 is the default", name, n)
		}
	}
	prompts := 0
	for _, given := range []bool{s.prompt != nil, s.promptName != "", s.role != noRole} {
		if given {
			prompts++
		}
	}
	if prompts > 1 {
		return errors.New("embed: WithPrompt, WithPromptName, and ForQueries or ForDocuments each choose a prompt: give one of them")
	}
	if s.pooling != nil {
		if err := checkPoolings(s.pooling); err != nil {
			return fmt.Errorf("embed: WithPooling: %w", err)
		}
	}
	return nil
}

func newSettings(opts []Option) (settings, error) {
	var s settings
	for _, o := range opts {
		o(&s)
	}
	if err := s.check(); err != nil {
		return s, err
	}
	s.threads = min(max(s.threads, 1), runtime.GOMAXPROCS(0))
	switch {
	case s.batchTokens > 0:
	case s.threads == 1:
		s.batchTokens = aloneTokens
	default:
		s.batchTokens = sharedTokens * s.threads
	}
	if s.library == "" {
		s.library = os.Getenv(libraryEnv)
	}
	if s.library == "" {
		dir, err := cachedir.Dir()
		if err != nil {
			return s, fmt.Errorf("embed: where is ONNX Runtime? %s is not set, and %w", libraryEnv, err)
		}
		s.library = filepath.Join(dir, cache.Runtime(), cache.Library())
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
	dir, err := cachedir.Dir()
	if err != nil {
		return filepath.Join(cache.Models, model)
	}
	return filepath.Join(dir, cache.Models, model)
}
