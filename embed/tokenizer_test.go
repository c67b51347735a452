package embed

import (
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/daulet/tokenizers"
)

func TestCutAtSpace(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"short", 5, "short"},
		{"two words", 5, "two"},
		{"two words", 3, "two"},
		{"two words", 2, ""},
		{"two \n\t words", 6, "two"},
		{"oneword", 3, ""},
		{"   x", 2, ""},
		{"éé éé", 6, "éé"},
	} {
		if got := cutAtSpace(c.text, c.limit); got != c.want {
			t.Errorf("cutAtSpace(%q, %d) = %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

// Whatever the text, cutting it first and asking for one token more must give
// what the native side makes of the whole text with the model's own length.
func FuzzCutGivesTheSameTokens(f *testing.F) {
	m := openMiniLM(f)
	data, err := os.ReadFile(filepath.Join(Installed(miniLM), "tokenizer.json"))
	if err != nil {
		f.Fatal(err)
	}
	if data, _, err = rewriteTokenizer(data, m.MaxSeqLength(), false); err != nil {
		f.Fatal(err)
	}
	plain, err := tokenizers.FromBytes(data)
	if err != nil {
		f.Fatal(err)
	}
	defer plain.Close()
	f.Add("word ", 3000)
	f.Add("word ", 254)
	f.Add("word ", 255)
	f.Add("[SEP] e\u0301\u0302 ", 2000)
	f.Add("你好 \u0301世界", 1500)
	f.Add("\t ", 5000)
	f.Fuzz(func(t *testing.T, piece string, n int) {
		text := strings.Repeat(piece, min(max(n, 0), 200_000/max(len(piece), 1)))
		got, err := m.tokenizer.encode(text)
		if err != nil {
			t.Fatal(err)
		}
		want, err := plain.EncodeWithOptionsErr(strings.ReplaceAll(text, "\x00", "\uFFFD"), true)
		if err != nil || !slices.Equal(got.ids, want.IDs) {
			t.Errorf("%q x %d: %v, want %v (%v)", piece, n, got.ids, want.IDs, err)
		}
	})
}

func TestSplitsAtSpace(t *testing.T) {
	for in, want := range map[string]bool{
		`null`:                                         false,
		`{"type": "BertPreTokenizer"}`:                 true,
		`{"type": "Whitespace"}`:                       true,
		`{"type": "Metaspace"}`:                        true,
		`{"type": "Metaspace", "split": false}`:        false,
		`{"type": "ByteLevel"}`:                        true,
		`{"type": "ByteLevel", "use_regex": false}`:    false,
		`{"type": "Split", "pattern": {"Regex": "."}}`: false,
		`{"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace"}]}`:                  true,
		`{"type": "Sequence", "pretokenizers": [{"type": "Punctuation"}, {"type": "Digits"}]}`:                         false,
		`{"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]}`:                            false,
		`{"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel", "add_prefix_space": true}]}`: true,
	} {
		var p *preTokenizer
		if err := json.Unmarshal([]byte(in), &p); err != nil {
			t.Fatal(err)
		}
		if got := p.splitsAtSpace(); got != want {
			t.Errorf("%s: %t, want %t", in, got, want)
		}
	}
}

// newTiny makes the tiny models' tokenizer, changed.
func newTiny(t *testing.T, data, prompt string, change transformer) *tokenizer {
	t.Helper()
	change.tokenizer = []byte(data)
	tok, err := newTokenizer(&change, prompt, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tok.close)
	return tok
}

func TestCuttable(t *testing.T) {
	for in, want := range map[string]bool{
		`{"pre_tokenizer": {"type": "Whitespace"}}`: true,
		`{"pre_tokenizer": {"type": "Split"}}`:      false,
		`{"pre_tokenizer": {"type": "Whitespace"}, "added_tokens": [{"content": "[SEP]"}, {"content": "   "}]}`: true,
		`{"pre_tokenizer": {"type": "Whitespace"}, "added_tokens": [{"content": "New York"}]}`:                  false,
	} {
		f, err := parseTokenizer([]byte(in))
		if err != nil || f.cuttable() != want {
			t.Errorf("%s: %t, %v", in, f.cuttable(), err)
		}
	}
}

func TestLowerIsPythons(t *testing.T) {
	tok := newTiny(t, strings.Replace(tinyTokenizer, `"a": 1`, `"ὀδυσσεύς": 1`, 1), "", transformer{maxTokens: 4, lower: true})
	got, err := tok.encode("ὈΔΥΣΣΕΎΣ B")
	if err != nil || !slices.Equal(got.ids, []uint32{1, 2}) {
		t.Errorf("%v, %v, want [1 2]", got.ids, err)
	}
}

func TestTokenizerWithoutRoom(t *testing.T) {
	if _, err := newTokenizer(&transformer{tokenizer: []byte(tinyTokenizer)}, "", true); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("%v, want no room", err)
	}
}

// framed is the tiny models' tokenizer with special tokens: [a] text [b] [c].
var framed = strings.Replace(strings.Replace(tinyTokenizer,
	`"post_processor": null`, `"post_processor": {"type": "TemplateProcessing", "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
		"single": [{"SpecialToken": {"id": "<", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": ">", "type_id": 0}}, {"SpecialToken": {"id": "!", "type_id": 0}}],
		"special_tokens": {"<": {"id": "<", "ids": [5], "tokens": ["<"]}, ">": {"id": ">", "ids": [6], "tokens": [">"]}, "!": {"id": "!", "ids": [7], "tokens": ["!"]}}}`, 1),
	`"added_tokens": []`, `"added_tokens": [
		{"id": 5, "content": "<", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
		{"id": 6, "content": ">", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
		{"id": 7, "content": "!", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}]`, 1)

func TestTruncated(t *testing.T) {
	right := newTiny(t, framed, "", transformer{maxTokens: 6})
	left := newTiny(t, framed, "", transformer{maxTokens: 6, cutLeft: true})
	if right.before != 1 || right.after != 2 || left.before != 1 || left.after != 2 {
		t.Errorf("special tokens before %d, after %d, want 1 and 2", right.before, right.after)
	}
	for _, c := range []struct {
		tok       *tokenizer
		text      string
		want      []uint32
		truncated bool
	}{
		{right, "", []uint32{5, 6, 7}, false},
		{right, "a b c", []uint32{5, 1, 2, 3, 6, 7}, false},
		{right, "a b c a", []uint32{5, 1, 2, 3, 6, 7}, true},
		{right, "a b c c b a", []uint32{5, 1, 2, 3, 6, 7}, true},
		{right, "a b < c c b a", []uint32{5, 1, 2, 5, 6, 7}, true},
		{left, "a b c", []uint32{5, 1, 2, 3, 6, 7}, false},
		{left, "c a b c", []uint32{5, 1, 2, 3, 6, 7}, true},
		{left, "c c c c a b c", []uint32{5, 1, 2, 3, 6, 7}, true},
	} {
		got, err := c.tok.encode(c.text)
		if err != nil || !slices.Equal(got.ids, c.want) || got.truncated != c.truncated {
			t.Errorf("%q: %v, %v, want %v, %t", c.text, got, err, c.want, c.truncated)
		}
	}
}

func TestPromptTokens(t *testing.T) {
	for prompt, want := range map[string]int{"": 0, "a ": 2, "a b ": 3} {
		tok := newTiny(t, framed, prompt, transformer{maxTokens: 6})
		got, err := tok.promptTokens()
		if err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", prompt, got, err, want)
		}
	}
	tok := newTiny(t, framed, "a b c a", transformer{maxTokens: 6})
	if _, err := tok.promptTokens(); err == nil || !strings.Contains(err.Error(), "leaves no room") {
		t.Errorf("%v, want no room", err)
	}
}

func TestSpecialTokensAsText(t *testing.T) {
	tok, err := newTokenizer(&transformer{tokenizer: []byte(framed), maxTokens: 6}, "", false)
	if err != nil {
		t.Fatal(err)
	}
	defer tok.close()
	got, err := tok.encode("a < b")
	if err != nil || !slices.Equal(got.ids, []uint32{5, 1, 4, 2, 6, 7}) {
		t.Errorf("%v, %v", got, err)
	}
}

//go:embed testdata/tokenizer_kinds.json
var tokenizerKinds []byte

// Other kinds of tokenizers than BERT's, cut on either side;
// testdata/tokenizer_kinds.py writes the file.
func TestOtherTokenizersEqualHuggingFace(t *testing.T) {
	var file struct {
		Max   int
		Texts []goldenText
		Cases []struct {
			Name        string
			Tokenizer   json.RawMessage
			Right, Left [][]uint32
		}
	}
	if err := json.Unmarshal(tokenizerKinds, &file); err != nil {
		t.Fatal(err)
	}
	cut := 0
	for _, c := range file.Cases {
		for side, want := range map[string][][]uint32{"right": c.Right, "left": c.Left} {
			tok := newTiny(t, string(c.Tokenizer), "", transformer{maxTokens: file.Max, cutLeft: side == "left"})
			if tok.cuttable {
				cut++
			}
			for i, g := range file.Texts {
				got, err := tok.encode(g.text())
				if err != nil || !slices.Equal(got.ids, want[i]) {
					t.Errorf("%s, %s: %q x %d: %v, %v, want %v", c.Name, side, g.name(), g.Repeat, got.ids, err, want[i])
				}
				if got.truncated && len(got.ids) != file.Max {
					t.Errorf("%s, %s: %q x %d: truncated to %d", c.Name, side, g.name(), g.Repeat, len(got.ids))
				}
			}
		}
	}
	if len(file.Cases) < 6 || len(file.Texts) < 90 || cut != 5 {
		t.Errorf("%d tokenizers, of which %d may be cut, and %d texts", len(file.Cases), cut, len(file.Texts))
	}
}
