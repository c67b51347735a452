package embed

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
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

// Whatever the text, cutting it first must give what the whole text gives.
func FuzzCutGivesTheSameTokens(f *testing.F) {
	m := openMiniLM(f)
	whole := *m.tokenizer
	whole.cuttable = false
	f.Add("word ", 3000)
	f.Add("[SEP] e\u0301\u0302 ", 2000)
	f.Add("你好 \u0301世界", 1500)
	f.Add("\t ", 5000)
	f.Fuzz(func(t *testing.T, piece string, n int) {
		text := strings.Repeat(piece, min(max(n, 0), 200_000/max(len(piece), 1)))
		got, err := m.tokenizer.encode(text)
		if err != nil {
			t.Fatal(err)
		}
		want, err := whole.encode(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q x %d: %v, want %v (%v)", piece, n, got, want, err)
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

func TestLowerIsPythons(t *testing.T) {
	tok, err := newTokenizer([]byte(strings.Replace(tinyTokenizer, `"a": 1`, `"ὀδυσσεύς": 1`, 1)), 4, true)
	if err != nil {
		t.Fatal(err)
	}
	defer tok.close()
	ids, err := tok.encode("ὈΔΥΣΣΕΎΣ B")
	if err != nil || !slices.Equal(ids, []uint32{1, 2}) {
		t.Errorf("%v, %v, want [1 2]", ids, err)
	}
}

func TestTokenizerWithoutRoom(t *testing.T) {
	if _, err := newTokenizer([]byte(tinyTokenizer), 0, false); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("%v, want no room", err)
	}
}
