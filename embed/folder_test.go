package embed

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
)

func TestParsePooling(t *testing.T) {
	for in, want := range map[string]poolingConfig{
		`{}`: {modes: []Pooling{PoolMean}},
		`{"word_embedding_dimension": 384, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false}`: {modes: []Pooling{PoolMean}, dim: 384},
		`{"pooling_mode_cls_token": true, "pooling_mode_lasttoken": false, "include_prompt": true}`:                                                                                          {modes: []Pooling{PoolCLS}},
		`{"embedding_dimension": 768, "pooling_mode": "max"}`:                                                                                                                                {modes: []Pooling{PoolMax}, dim: 768},
		`{"embedding_dimension": 768, "pooling_mode": ["cls"], "include_prompt": false}`:                                                                                                     {modes: []Pooling{PoolCLS}, dim: 768, withoutPrompt: true},
		`{"pooling_mode_mean_sqrt_len_tokens": true}`:                                                                                                                                        {modes: []Pooling{PoolMeanSqrtLen}},
		`{"pooling_mode_weightedmean_tokens": true}`:                                                                                                                                         {modes: []Pooling{PoolWeightedMean}},
		`{"pooling_mode_lasttoken": true}`:                                                                                                                                                   {modes: []Pooling{PoolLastToken}},
		// Switches have one order, lists their own.
		`{"pooling_mode_lasttoken": true, "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true, "pooling_mode_max_tokens": true}`: {modes: []Pooling{PoolCLS, PoolMax, PoolMean, PoolLastToken}},
		`{"pooling_mode": ["mean", "weightedmean", "cls"]}`: {modes: []Pooling{PoolMean, PoolWeightedMean, PoolCLS}},
		// The newer form counts where both are there.
		`{"pooling_mode": "max", "pooling_mode_mean_tokens": true}`: {modes: []Pooling{PoolMax}},
	} {
		got, err := parsePooling([]byte(in))
		if err != nil || !slices.Equal(got.modes, want.modes) || got.dim != want.dim || got.withoutPrompt != want.withoutPrompt {
			t.Errorf("%s: %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		``, `[]`, `{"pooling_mode": 1}`, `{"pooling_mode": []}`, `{"pooling_mode_cls_token": "yes"}`, `{"pooling_mode": ["cls", "median"]}`, `{"word_embedding_dimension": -1}`,
		`{"pooling_mode_of_the_future": true}`, `{"pooling_mode": "lasttokens"}`, `{"word_embedding_dimension": "x"}`, `{"include_prompt": "no"}`,
	} {
		if got, err := parsePooling([]byte(in)); err == nil {
			t.Errorf("%s: %v, want an error", in, got)
		}
	}
}

func TestMaxSeqLength(t *testing.T) {
	const none = 1e30
	for _, c := range []struct {
		asked, places int
		own           int // -1: not there
		modelMax      float64
		positions     int
		want          int // 0: an error
	}{
		{own: 256, modelMax: 512, positions: 512, want: 256},
		{own: -1, modelMax: 512, positions: 514, want: 512},
		{own: -1, modelMax: none, positions: 514, want: 514},
		{own: -1, modelMax: none, positions: 514, places: 512, want: 512},
		{own: -1, modelMax: 128, want: 128},
		{own: -1, positions: 77, want: 77},
		{own: 514, places: 512, want: 512},
		{asked: 300, own: 256, places: 512, want: 300},
		{asked: 600, own: 256, places: 512},
		{asked: 600, own: -1, want: 600},
		{own: 0},
		{own: -1, modelMax: none},
		{own: -1, positions: -1},
	} {
		var own *int
		if c.own >= 0 {
			own = &c.own
		}
		got, err := maxSeqLength(c.asked, c.places, own, c.modelMax, c.positions)
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}

func TestTransformerFiles(t *testing.T) {
	const added = `"added_tokens": [{"id": 3, "content": "<pad>"}, {"id": 4, "content": "</s>"}]`
	for _, c := range []struct {
		name  string
		files map[string]string
		want  transformer
	}{
		{"nothing", map[string]string{"tokenizer.json": `{}`}, transformer{}},
		{"tokenizer.json", map[string]string{"tokenizer.json": `{"padding": {"pad_id": 5, "direction": "Left"}, "truncation": {"direction": "Left"}}`},
			transformer{padID: 5, padLeft: true, cutLeft: true}},
		{"config.json", map[string]string{"tokenizer.json": `{"padding": {"pad_id": 5}}`, "config.json": `{"pad_token_id": 6, "hidden_size": 7}`},
			transformer{padID: 6, hidden: 7}},
		{"special_tokens_map.json", map[string]string{"tokenizer.json": `{` + added + `}`, "config.json": `{"pad_token_id": 6}`, "special_tokens_map.json": `{"pad_token": {"content": "</s>"}}`},
			transformer{padID: 4}},
		{"tokenizer_config.json", map[string]string{"tokenizer.json": `{"padding": {"direction": "Left"}, ` + added + `}`, "special_tokens_map.json": `{"pad_token": "</s>"}`, "tokenizer_config.json": `{"pad_token": "<pad>", "padding_side": "right", "truncation_side": "left"}`},
			transformer{padID: 3, cutLeft: true}},
		{"the tokenizer's arguments", map[string]string{"tokenizer.json": `{` + added + `}`, "tokenizer_config.json": `{"pad_token": "<pad>", "model_max_length": 9}`,
			"sentence_xlnet_config.json": `{"do_lower_case": true, "tokenizer_args": {"padding_side": "left", "trust_remote_code": true}, "processor_kwargs": {"pad_token": "</s>", "model_max_length": 6}}`},
			transformer{padID: 4, padLeft: true, maxTokens: 6, lower: true}},
		{"an empty file is passed over", map[string]string{"tokenizer.json": `{}`, "sentence_bert_config.json": `{}`, "sentence_roberta_config.json": `{"max_seq_length": 8}`, "sentence_xlnet_config.json": `{"max_seq_length": 9}`},
			transformer{maxTokens: 8}},
		{"positions", map[string]string{"tokenizer.json": `{}`, "config.json": `{"model_type": "xlm-roberta", "pad_token_id": 1, "max_position_embeddings": 514}`},
			transformer{padID: 1, maxTokens: 512, positions: 512, firstPlace: 2}},
	} {
		asked := 0
		if c.want.maxTokens == 0 {
			asked, c.want.maxTokens = 11, 11
		}
		got, err := reader{writeTiny(t, nil, c.files)}.transformer("", asked)
		c.want.tokenizer = got.tokenizer
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
}

func FuzzParsePooling(f *testing.F) {
	f.Add([]byte(`{"word_embedding_dimension": 384, "pooling_mode_cls_token": true}`))
	f.Add([]byte(`{"embedding_dimension": 768, "pooling_mode": ["mean", "max"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parsePooling(data)
		if err == nil && (c.dim < 0 || checkPoolings(c.modes) != nil) {
			t.Errorf("%s: accepted as %v", data, c)
		}
	})
}

func FuzzParseModules(f *testing.F) {
	f.Add([]byte(tinyFiles()["modules.json"]))
	f.Add([]byte(`[{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		modules, err := parseModules(data)
		if err == nil && (len(modules) < 1 || modules[0].kind() != "Transformer") {
			t.Errorf("%s: accepted as %v", data, modules)
		}
	})
}

func FuzzRewriteTokenizer(f *testing.F) {
	f.Add([]byte(tinyTokenizer))
	f.Add([]byte(`{"truncation": {"direction": "Left"}, "padding": {"pad_id": 1}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rewritten, _, err := rewriteTokenizer(data, 7, false)
		if err != nil {
			return
		}
		var got struct {
			Padding    any `json:"padding"`
			Truncation struct {
				Max int `json:"max_length"`
			} `json:"truncation"`
		}
		if err := json.Unmarshal(rewritten, &got); err != nil || got.Padding != nil || got.Truncation.Max != 7 {
			t.Errorf("%s: became %s (%v)", data, rewritten, err)
		}
	})
}
