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
	maxTokens int
	lower     bool
	cuttable  bool // a text may be cut at white space before it is tokenized
	padID     int64
}

func newTokenizer(data []byte, maxTokens int, lower bool) (*tokenizer, error) {
	parsed, err := rewriteTokenizer(data, maxTokens)
	if err != nil {
		return nil, err
	}
	native, err := tokenizers.FromBytes(parsed.data)
	if err != nil {
		return nil, err
	}
	t := &tokenizer{native: native, maxTokens: maxTokens, lower: lower, cuttable: parsed.cuttable, padID: parsed.padID}
	// With no room for a word, the native side gives more tokens than asked for.
	special, err := t.encodeWhole("")
	if err == nil && len(special) >= maxTokens {
		err = fmt.Errorf("a text of %d tokens has no room beside the %d special ones", maxTokens, len(special))
	}
	if err != nil {
		native.Close()
		return nil, err
	}
	return t, nil
}

// rewritten is a tokenizer.json as it is given to the native side.
type rewritten struct {
	data     []byte
	padID    int64
	cuttable bool
}

// rewriteTokenizer puts our own truncation into a tokenizer.json and takes its
// padding out: published files have those of some training run, for
// all-MiniLM-L6-v2 a fixed length of 128.
func rewriteTokenizer(data []byte, maxTokens int) (r rewritten, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return r, err
	}
	if fields == nil {
		return r, errors.New("not a JSON object")
	}
	var old struct {
		Padding *struct {
			PadID int64 `json:"pad_id"`
		} `json:"padding"`
		Truncation *struct{ Direction string } `json:"truncation"`
		Pre        *preTokenizer               `json:"pre_tokenizer"`
	}
	if err := json.Unmarshal(data, &old); err != nil {
		return r, err
	}
	direction := "Right"
	if old.Truncation != nil && old.Truncation.Direction != "" {
		direction = old.Truncation.Direction
	}
	if old.Padding != nil {
		r.padID = old.Padding.PadID
	}
	r.cuttable = direction == "Right" && old.Pre.splitsAtSpace()

	fields["padding"] = json.RawMessage("null")
	if fields["truncation"], err = json.Marshal(map[string]any{
		"direction": direction, "max_length": maxTokens, "strategy": "LongestFirst", "stride": 0,
	}); err != nil {
		return r, err
	}
	r.data, err = json.Marshal(fields)
	return r, err
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

// encode gives the ids of a text. NUL, which would end the text on its way
// into the native side, counts as U+FFFD; so does each part of the text that is
// not UTF-8.
func (t *tokenizer) encode(text string) ([]uint32, error) {
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", "\uFFFD")
	}
	if t.lower {
		text = cases.Lower(language.Und).String(text) // final sigma and all, as Python's lower
	}
	if !t.cuttable {
		return t.encodeWhole(text)
	}
	// Most of a long text does not matter. If a part of it, up to a space,
	// fills the model, then the whole text begins with the same tokens; if it
	// does not, a longer part is tried. In the end that is the whole text, so
	// the ids are right for any text, and the work is linear.
	const bytesPerToken = 16
	for limit := t.maxTokens * bytesPerToken; ; limit *= 4 {
		part := cutAtSpace(text, limit)
		ids, err := t.encodeWhole(part)
		if err != nil || len(ids) >= t.maxTokens || len(part) == len(text) {
			return ids, err
		}
	}
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
