package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// folder is what a sentence-transformers folder says about its model.
type folder struct {
	model     string // file name of the ONNX model
	tokenizer []byte // tokenizer.json
	maxTokens int    // of a text, with its special tokens
	lower     bool   // texts are lowered before they are tokenized
	padID     *int64 // nil: config.json does not say
	pooling   poolingConfig
	normalise bool
}

// module is one line of modules.json: one step from text to vector.
type module struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Type string `json:"type"`
}

// kind is the class without its Python package, which changed over time.
func (m module) kind() string { return m.Type[strings.LastIndexByte(m.Type, '.')+1:] }

func parseModules(data []byte) ([]module, error) {
	var modules []module
	if err := json.Unmarshal(data, &modules); err != nil {
		return nil, err
	}
	var kinds []string
	for _, m := range modules {
		switch kind := m.kind(); kind {
		case "Transformer", "Pooling", "Normalize":
			kinds = append(kinds, kind)
		default:
			return nil, fmt.Errorf("the module %q of type %q is not supported; supported are Transformer, Pooling, Normalize", m.Path, m.Type)
		}
	}
	switch strings.Join(kinds, " ") {
	case "Transformer Pooling", "Transformer Pooling Normalize":
		return modules, nil
	}
	return nil, fmt.Errorf("the modules [%s] are not supported; supported are Transformer, Pooling, and perhaps Normalize, in this order", strings.Join(kinds, " "))
}

// transformerNames are the files that a Transformer module may be configured
// by: sentence-transformers once had a class for each kind of model.
func transformerNames() []string {
	return []string{
		"sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
		"sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
		"sentence_xlnet_config.json",
	}
}

// limits is what the configuration files say about the length of a text; a nil
// or zero field is one that they do not mention.
type limits struct {
	MaxSeqLength *int    `json:"max_seq_length"`          // sentence_bert_config.json
	Lower        bool    `json:"do_lower_case"`           // sentence_bert_config.json
	ModelMax     float64 `json:"model_max_length"`        // tokenizer_config.json; 1e30 for none
	MaxPositions int     `json:"max_position_embeddings"` // config.json
	PadID        *int64  `json:"pad_token_id"`            // config.json
}

func (l *limits) maxTokens() (int, error) {
	switch {
	case l.MaxSeqLength != nil:
		if *l.MaxSeqLength <= 0 {
			return 0, fmt.Errorf("a max_seq_length of %d", *l.MaxSeqLength)
		}
		return *l.MaxSeqLength, nil
	case l.ModelMax > 0 && l.ModelMax < math.MaxInt32 && l.MaxPositions > 0:
		return min(int(l.ModelMax), l.MaxPositions), nil
	case l.ModelMax > 0 && l.ModelMax < math.MaxInt32:
		return int(l.ModelMax), nil
	case l.MaxPositions > 0:
		return l.MaxPositions, nil
	}
	return 0, errors.New("no max_seq_length in sentence_bert_config.json, no model_max_length in tokenizer_config.json, no max_position_embeddings in config.json: how long may a text be?")
}

// promptConfig is what of config_sentence_transformers.json changes vectors.
type promptConfig struct {
	Prompts     map[string]string `json:"prompts"`
	Default     *string           `json:"default_prompt_name"`
	TruncateDim *int              `json:"truncate_dim"`
}

func (c *promptConfig) check() error {
	if c.Default != nil && c.Prompts[*c.Default] != "" {
		return fmt.Errorf("the default prompt %q is not supported", *c.Default)
	}
	if c.TruncateDim != nil {
		return fmt.Errorf("truncate_dim %d is not supported", *c.TruncateDim)
	}
	return nil
}

// readFolder reads all but the model itself.
func readFolder(dir string) (*folder, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("there is no model folder: %w; %s", err, installHint)
	}
	r := reader{dir}

	data, err := r.must("modules.json")
	if err != nil {
		return nil, err
	}
	modules, err := parseModules(data)
	if err != nil {
		return nil, r.wrong("modules.json", err)
	}
	f := &folder{normalise: len(modules) == 3}
	at := modules[0].Path

	if err := r.limits(f, at); err != nil {
		return nil, err
	}
	name := path.Join(modules[1].Path, "config.json")
	if data, err = r.must(name); err != nil {
		return nil, err
	}
	if f.pooling, err = parsePooling(data); err != nil {
		return nil, r.wrong(name, err)
	}
	var prompts promptConfig
	if _, err := r.may("config_sentence_transformers.json", &prompts); err != nil {
		return nil, err
	}
	if err := prompts.check(); err != nil {
		return nil, r.wrong("config_sentence_transformers.json", err)
	}
	if f.tokenizer, err = r.must(path.Join(at, "tokenizer.json")); err != nil {
		return nil, err
	}
	for _, name := range []string{path.Join(at, "model.onnx"), path.Join(at, "onnx", "model.onnx")} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			f.model = file
			return f, nil
		}
	}
	return nil, fmt.Errorf("the model folder %s has neither %s nor %s; %s with one that has", dir,
		path.Join(at, "model.onnx"), path.Join(at, "onnx/model.onnx"), installHint)
}

// reader reads the files of a folder.
type reader struct {
	dir string
}

// read reads a file below the folder: what modules.json says must not lead out
// of it. Links may, as those in Hugging Face's own cache do.
func (r reader) read(name string) ([]byte, error) {
	local, err := filepath.Localize(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a path inside the folder", name)
	}
	return os.ReadFile(filepath.Join(r.dir, local))
}

// limits reads the three files that may bound the length of a text.
func (r reader) limits(f *folder, at string) error {
	var l limits
	for _, name := range transformerNames() {
		found, err := r.may(path.Join(at, name), &l)
		if err != nil {
			return err
		}
		if found {
			break
		}
	}
	for _, name := range []string{"tokenizer_config.json", "config.json"} {
		// Each file is asked for its own keys only.
		var more limits
		if _, err := r.may(path.Join(at, name), &more); err != nil {
			return err
		}
		if name == "config.json" {
			l.MaxPositions, l.PadID = more.MaxPositions, more.PadID
		} else {
			l.ModelMax = more.ModelMax
		}
	}
	n, err := l.maxTokens()
	if err != nil {
		return fmt.Errorf("the model folder %s: %w", r.dir, err)
	}
	f.maxTokens, f.lower, f.padID = n, l.Lower, l.PadID
	return nil
}

func (r reader) must(name string) ([]byte, error) {
	data, err := r.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the model folder %s has no %s: is it a whole sentence-transformers folder? %s", r.dir, name, installHint)
	}
	if err != nil {
		return nil, fmt.Errorf("the model folder %s: %w", r.dir, err)
	}
	return data, nil
}

// may reads a JSON file that need not be there.
func (r reader) may(name string, into any) (found bool, err error) {
	data, err := r.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return false, r.wrong(name, err)
	}
	return true, nil
}

func (r reader) wrong(name string, err error) error {
	return fmt.Errorf("%s: %w", filepath.Join(r.dir, filepath.FromSlash(name)), err)
}
