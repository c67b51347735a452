package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/daulet/tokenizers"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// tokenizer gives the token ids of a text as Hugging Face's tokenizer does,
// cut to the model's length, without padding. It is safe for concurrent use,
// but for Close.
type tokenizer struct {
	native    *tokenizers.Tokenizer
	prompt    string // stands before each text
	maxTokens int
	lower     bool
	cuttable  bool // a text may be cut at white space before it is tokenized
	cutLeft   bool // a too long text loses its beginning
	before    int  // special tokens before a text's own
	after     int  // and after
}

// tokenized is a text's tokens.
type tokenized struct {
	ids       []uint32
	truncated bool // the text had more
}

// newTokenizer loads the tokenizer of a model. special says whether special
// tokens' names in a text count as those tokens.
func newTokenizer(t *transformer, prompt string, special bool) (*tokenizer, error) {
	// One token more than the model takes shows that a text is too long.
	data, parsed, err := rewriteTokenizer(t.tokenizer, t.maxTokens+1, t.cutLeft)
	if err != nil {
		return nil, err
	}
	var opts []tokenizers.TokenizerOption
	if !special {
		opts = append(opts, tokenizers.WithEncodeSpecialTokens())
	}
	native, err := tokenizers.FromBytes(data, opts...)
	if err != nil {
		return nil, err
	}
	k := &tokenizer{
		native: native, prompt: prompt, maxTokens: t.maxTokens, lower: t.lower,
		cuttable: !t.cutLeft && parsed.cuttable(), cutLeft: t.cutLeft,
	}
	if err := k.findSpecial(); err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

// findSpecial counts the special tokens around a text.
func (t *tokenizer) findSpecial() error {
	none, err := t.encodeWhole("")
	if err != nil {
		return err
	}
	// With no room for a word, the native side gives more tokens than asked for.
	if len(none) >= t.maxTokens {
		return fmt.Errorf("a text of %d tokens has no room beside the %d special ones", t.maxTokens, len(none))
	}
	for _, text := range []string{"a", "the", "1", ".", "\u4e00"} {
		e, err := t.native.EncodeWithOptionsErr(text, true, tokenizers.WithReturnSpecialTokensMask())
		if err != nil {
			return err
		}
		mask := e.SpecialTokensMask
		t.before, t.after = len(mask), 0
		for i, special := range mask {
			if special == 0 {
				t.before = min(t.before, i)
				t.after = len(mask) - 1 - i
			}
		}
		if t.before+t.after == len(none) && len(mask) > len(none) {
			return nil
		}
	}
	if len(none) > 0 {
		return errors.New("which special tokens stand before a text, and which after, could not be found out")
	}
	t.before, t.after = 0, 0
	return nil
}

// promptTokens counts the tokens of the prompt, with the special ones before
// it: those that a pooling without the prompt passes over.
func (t *tokenizer) promptTokens() (int, error) {
	if t.prompt == "" {
		return 0, nil
	}
	tokens, err := t.encode("")
	if err == nil && tokens.truncated {
		err = fmt.Errorf("the prompt %q leaves no room for a text", t.prompt)
	}
	return max(len(tokens.ids)-t.after, 0), err
}

// tokenizerFile is what matters of a tokenizer.json.
type tokenizerFile struct {
	Padding *struct {
		PadID     int64  `json:"pad_id"`
		Direction string `json:"direction"`
	} `json:"padding"`
	Truncation *struct {
		Direction string `json:"direction"`
	} `json:"truncation"`
	Pre   *preTokenizer `json:"pre_tokenizer"`
	Added []struct {
		ID      int64  `json:"id"`
		Content string `json:"content"`
	} `json:"added_tokens"`

	padID            int64
	padLeft, cutLeft bool
}

func parseTokenizer(data []byte) (f tokenizerFile, err error) {
	if err := json.Unmarshal(data, &f); err != nil {
		return f, err
	}
	if f.Padding != nil {
		f.padID, f.padLeft = f.Padding.PadID, f.Padding.Direction == "Left"
	}
	f.cutLeft = f.Truncation != nil && f.Truncation.Direction == "Left"
	return f, nil
}

// cuttable reports whether a text's beginning, up to white space, has the same
// tokens with and without what follows.
func (f *tokenizerFile) cuttable() bool {
	for _, t := range f.Added {
		if strings.ContainsAny(strings.Trim(t.Content, spaces), spaces) {
			return false // white space may be inside a token
		}
	}
	return f.Pre.splitsAtSpace()
}

// id finds an added token, as special ones are.
func (f *tokenizerFile) id(content token) (int64, bool) {
	for _, t := range f.Added {
		if content != "" && t.Content == string(content) {
			return t.ID, true
		}
	}
	return 0, false
}

// rewriteTokenizer puts our own truncation into a tokenizer.json and takes its
// padding out: published files have those of some training run, for
// all-MiniLM-L6-v2 a fixed length of 128.
func rewriteTokenizer(data []byte, maxTokens int, cutLeft bool) (rewritten []byte, parsed tokenizerFile, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, parsed, err
	}
	if fields == nil {
		return nil, parsed, errors.New("not a JSON object")
	}
	if parsed, err = parseTokenizer(data); err != nil {
		return nil, parsed, err
	}
	direction := "Right"
	if cutLeft {
		direction = "Left"
	}
	fields["padding"] = json.RawMessage("null")
	if fields["truncation"], err = json.Marshal(map[string]any{
		"direction": direction, "max_length": maxTokens, "strategy": "LongestFirst", "stride": 0,
	}); err != nil {
		return nil, parsed, err
	}
	rewritten, err = json.Marshal(fields)
	return rewritten, parsed, err
}

// preTokenizer is the part of a tokenizer that cuts text into words.
type preTokenizer struct {
	Type     string         `json:"type"`
	Split    *bool          `json:"split"`     // Metaspace
	UseRegex *bool          `json:"use_regex"` // ByteLevel
	Parts    []preTokenizer `json:"pretokenizers"`
}

// splitsAtSpace reports whether no token reaches from the text before a space
// into the space, whatever follows: then the tokens before it are the same with
// and without what follows. It knows the usual kinds and says no to the others.
func (p *preTokenizer) splitsAtSpace() bool {
	if p == nil {
		return false
	}
	switch p.Type {
	case "BertPreTokenizer", "Whitespace", "WhitespaceSplit":
		return true
	case "Metaspace":
		return p.Split == nil || *p.Split
	case "ByteLevel":
		return p.UseRegex == nil || *p.UseRegex
	case "Sequence":
		splits := false
		for i := range p.Parts {
			switch part := &p.Parts[i]; {
			case part.splitsAtSpace():
				splits = true
			case part.Type != "Punctuation" && part.Type != "Digits":
				return false
			}
		}
		return splits
	}
	return false
}

// encode gives the tokens of a text, behind the prompt. NUL, which would end
// the text on its way into the native side, counts as U+FFFD; so does each part
// of the text that is not UTF-8.
func (t *tokenizer) encode(text string) (tokenized, error) {
	text = t.prompt + text
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", "\uFFFD")
	}
	if t.lower {
		text = cases.Lower(language.Und).String(text) // final sigma and all, as Python's lower
	}
	// Most of a long text does not matter. If a part of it, up to a space,
	// fills the model, then the whole text begins with the same tokens; if it
	// does not, a longer part is tried. In the end that is the whole text, so
	// the ids are right for any text, and the work is linear.
	const bytesPerToken = 16
	for limit := t.maxTokens * bytesPerToken; ; limit *= 4 {
		part := text
		if t.cuttable {
			part = cutAtSpace(text, limit)
		}
		ids, err := t.encodeWhole(part)
		if err != nil {
			return tokenized{}, err
		}
		if len(ids) > t.maxTokens {
			return tokenized{t.shortened(ids), true}, nil
		}
		if len(part) == len(text) {
			return tokenized{ids, false}, nil
		}
	}
}

// shortened takes one of the text's own tokens away, where it is cut.
func (t *tokenizer) shortened(ids []uint32) []uint32 {
	at := len(ids) - 1 - t.after
	if t.cutLeft {
		at = t.before
	}
	return append(ids[:at], ids[at+1:]...)
}

// cutAtSpace gives as much of text as fits into limit bytes and ends before
// white space. Where there is none, it gives nothing; text that fits it gives
// whole.
func cutAtSpace(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := strings.LastIndexAny(text[:limit+1], spaces)
	if end < 0 {
		return ""
	}
	return strings.TrimRight(text[:end], spaces)
}

const spaces = " \t\r\n"

func (t *tokenizer) encodeWhole(text string) ([]uint32, error) {
	e, err := t.native.EncodeWithOptionsErr(text, true)
	return e.IDs, err
}

func (t *tokenizer) close() { t.native.Close() }
