package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
)

// transformerNames are the files that a Transformer module may be configured
// by: sentence-transformers once had a class for each kind of model. The first
// that says anything counts.
func transformerNames() []string {
	return []string{
		"sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
		"sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
		"sentence_xlnet_config.json",
	}
}

// transformer is what the files say about how a text becomes the model's input.
type transformer struct {
	tokenizer  []byte // tokenizer.json
	maxTokens  int    // of a text, with its special tokens
	positions  int    // of tokens that the model knows; 0: not known
	lower      bool   // texts are lowered before they are tokenized
	padID      int64
	padLeft    bool
	cutLeft    bool // too long texts lose their beginning
	firstPlace int  // the position of a text's first token
	hidden     int  // the length of a token's vector; 0: not said
}

// transformerConfig is sentence_bert_config.json and its like; what is there
// but not in these fields does not change vectors.
type transformerConfig struct {
	MaxSeqLength    *int                       `json:"max_seq_length"`
	Lower           bool                       `json:"do_lower_case"`
	Task            string                     `json:"transformer_task"`
	Modalities      map[string]modality        `json:"modality_config"`
	Output          *string                    `json:"module_output_name"`
	TokenizerArgs   map[string]json.RawMessage `json:"tokenizer_args"`
	ProcessorArgs   map[string]json.RawMessage `json:"processor_kwargs"`
	ProcessingArgs  map[string]json.RawMessage `json:"processing_kwargs"`
	QueryLength     *int                       `json:"query_length"`
	DocumentLength  *int                       `json:"document_length"`
	QueryExpansions *json.RawMessage           `json:"query_expansion"`
}

type modality struct {
	Method string          `json:"method"`
	Output json.RawMessage `json:"method_output_name"`
}

// check refuses what sentence-transformers can do and this package can't.
func (c *transformerConfig) check() error {
	text, ok := c.Modalities["text"]
	switch {
	case c.Task != "" && c.Task != "feature-extraction":
		return fmt.Errorf("the transformer_task %q is not supported; supported is feature-extraction", c.Task)
	case len(c.Modalities) > 0 && !ok:
		return fmt.Errorf("the modality_config knows no text, only %v, which is not supported", slices.Sorted(maps.Keys(c.Modalities)))
	case ok && text.Method != "" && text.Method != "forward":
		return fmt.Errorf("the modality_config's method %q is not supported; supported is forward", text.Method)
	case ok && len(text.Output) > 0 && string(text.Output) != `"last_hidden_state"` && string(text.Output) != "null":
		return fmt.Errorf("the modality_config's method_output_name %s is not supported; supported is last_hidden_state", text.Output)
	case c.Output != nil && *c.Output != "token_embeddings":
		return fmt.Errorf("the module_output_name %q is not supported; supported is token_embeddings", *c.Output)
	case c.QueryLength != nil || c.DocumentLength != nil || c.QueryExpansions != nil:
		return errors.New("query_length, document_length and query_expansion are not supported")
	}
	for kind, args := range c.ProcessingArgs {
		if s := string(args); s != "{}" && s != "null" {
			return fmt.Errorf("the processing_kwargs for %s are not supported", kind)
		}
	}
	return nil
}

// tokenizerConfig is tokenizer_config.json, as far as it matters.
type tokenizerConfig struct {
	ModelMax float64 `json:"model_max_length"` // 1e30 for none
	PadSide  string  `json:"padding_side"`
	CutSide  string  `json:"truncation_side"`
	Pad      token   `json:"pad_token"`
}

// token is a special token's text, which files write in two ways.
type token string

// UnmarshalJSON takes "[PAD]" and {"content": "[PAD]"}.
func (t *token) UnmarshalJSON(data []byte) error {
	var object struct {
		Content string `json:"content"`
	}
	if json.Unmarshal(data, &object) == nil {
		*t = token(object.Content)
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// override takes the arguments that sentence-transformers gives the tokenizer
// over its own file.
func (c *tokenizerConfig) override(args map[string]json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(args)) {
		var err error
		switch name {
		case "model_max_length":
			err = json.Unmarshal(args[name], &c.ModelMax)
		case "padding_side":
			err = json.Unmarshal(args[name], &c.PadSide)
		case "truncation_side":
			err = json.Unmarshal(args[name], &c.CutSide)
		case "pad_token":
			err = json.Unmarshal(args[name], &c.Pad)
		case "trust_remote_code", "use_fast", "revision", "token", "local_files_only", "cache_dir":
		default:
			return fmt.Errorf("the tokenizer's argument %s is not supported", name)
		}
		if err != nil {
			return fmt.Errorf("the tokenizer's argument %s: %w", name, err)
		}
	}
	return nil
}

// modelConfig is config.json, as far as it matters.
type modelConfig struct {
	Type      string `json:"model_type"`
	Positions int    `json:"max_position_embeddings"` // -1 for none
	PadID     *int64 `json:"pad_token_id"`
	Hidden    int    `json:"hidden_size"`
}

// firstPlace is the position of a text's first token: RoBERTa's family counts
// from behind the padding's id.
func (c *modelConfig) firstPlace() int {
	switch c.Type {
	case "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer", "data2vec-text":
		if c.PadID != nil && *c.PadID >= 0 && *c.PadID < math.MaxInt32 {
			return int(*c.PadID) + 1
		}
		return 2
	}
	return 0
}

// bounded reports whether the model has a table of positions, so that it fails
// on a longer text. Others have a formula.
func (c *modelConfig) bounded() bool {
	switch c.Type {
	case "bert", "distilbert", "albert", "electra", "deberta":
		return true
	}
	return c.firstPlace() > 0
}

// transformer reads the files of the Transformer module. maxTokens 0 leaves the
// length to them.
func (r reader) transformer(at string, maxTokens int) (t transformer, err error) {
	var own transformerConfig
	var tokens, special tokenizerConfig
	var model modelConfig
	ownName, err := r.firstOf(at, transformerNames(), &own)
	if err != nil {
		return t, err
	}
	if err := own.check(); err != nil {
		return t, r.wrong(ownName, err)
	}
	for name, into := range map[string]any{"tokenizer_config.json": &tokens, "special_tokens_map.json": &special, "config.json": &model} {
		if _, err := r.may(path.Join(at, name), into); err != nil {
			return t, err
		}
	}
	if err := errors.Join(tokens.override(own.TokenizerArgs), tokens.override(own.ProcessorArgs)); err != nil {
		return t, r.wrong(ownName, err)
	}
	if t.tokenizer, err = r.must(path.Join(at, "tokenizer.json")); err != nil {
		return t, err
	}
	parsed, err := parseTokenizer(t.tokenizer)
	if err != nil {
		return t, r.wrong(path.Join(at, "tokenizer.json"), err)
	}

	t.lower, t.hidden, t.firstPlace = own.Lower, model.Hidden, model.firstPlace()
	if model.bounded() && model.Positions > t.firstPlace {
		t.positions = model.Positions - t.firstPlace
	}
	if t.padLeft, err = side("padding_side", tokens.PadSide, parsed.padLeft); err != nil {
		return t, r.wrong(path.Join(at, "tokenizer_config.json"), err)
	}
	if t.cutLeft, err = side("truncation_side", tokens.CutSide, parsed.cutLeft); err != nil {
		return t, r.wrong(path.Join(at, "tokenizer_config.json"), err)
	}
	pad := tokens.Pad
	if pad == "" {
		pad = special.Pad
	}
	switch id, ok := parsed.id(pad); {
	case ok:
		t.padID = id
	case model.PadID != nil:
		t.padID = *model.PadID
	default:
		t.padID = parsed.padID
	}
	t.maxTokens, err = maxSeqLength(maxTokens, t.positions, own.MaxSeqLength, tokens.ModelMax, model.Positions)
	if err != nil {
		err = fmt.Errorf("the model folder %s: %w", r.dir, err)
	}
	return t, err
}

// side reads a side's name; without one it is as the tokenizer says.
func side(key, value string, left bool) (bool, error) {
	switch value {
	case "":
		return left, nil
	case "left":
		return true, nil
	case "right":
		return false, nil
	}
	return false, fmt.Errorf("a %s %q is neither left nor right", key, value)
}

// maxSeqLength decides how many tokens a text may have: as asked, or what the
// files say, in sentence-transformers' order, but never more than the model has
// positions for.
func maxSeqLength(asked, places int, own *int, modelMax float64, positions int) (int, error) {
	var n int
	switch known := modelMax > 0 && modelMax < math.MaxInt32; {
	case asked > 0 && places > 0 && asked > places:
		return 0, fmt.Errorf("a max_seq_length of %d is more than the model's %d positions", asked, places)
	case asked > 0:
		return asked, nil
	case own != nil && *own <= 0:
		return 0, fmt.Errorf("a max_seq_length of %d", *own)
	case own != nil:
		n = *own
	case known && positions > 0:
		n = min(int(modelMax), positions)
	case known:
		n = int(modelMax)
	case positions > 0:
		n = positions
	default:
		return 0, errors.New("no max_seq_length in sentence_bert_config.json, no model_max_length in tokenizer_config.json, no max_position_embeddings in config.json: how long may a text be? WithMaxSeqLength says it, too")
	}
	if places > 0 {
		n = min(n, places)
	}
	return n, nil
}
