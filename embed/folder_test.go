package embed

import (
	"encoding/json"
	"testing"
)

func TestParsePooling(t *testing.T) {
	for in, want := range map[string]poolingConfig{
		`{}`: {poolMean, 0},
		`{"word_embedding_dimension": 384, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false}`: {poolMean, 384},
		`{"pooling_mode_cls_token": true, "pooling_mode_lasttoken": false}`:             {poolCLS, 0},
		`{"embedding_dimension": 768, "pooling_mode": "max"}`:                           {poolMax, 768},
		`{"embedding_dimension": 768, "pooling_mode": ["cls"], "include_prompt": true}`: {poolCLS, 768},
	} {
		got, err := parsePooling([]byte(in))
		if err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		``, `[]`, `{"pooling_mode": 1}`, `{"pooling_mode_cls_token": "yes"}`, `{"pooling_mode": ["cls", "mean"]}`, `{"word_embedding_dimension": -1}`,
		`{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}`, `{"pooling_mode_mean_sqrt_len_tokens": true}`,
		`{"pooling_mode": "weightedmean"}`, `{"pooling_mode_lasttoken": true}`, `{"pooling_mode_of_the_future": true}`, `{"word_embedding_dimension": "x"}`,
	} {
		if got, err := parsePooling([]byte(in)); err == nil {
			t.Errorf("%s: %v, want an error", in, got)
		}
	}
}

func TestMaxTokens(t *testing.T) {
	for in, want := range map[string]int{
		`{"max_seq_length": 256, "model_max_length": 512, "max_position_embeddings": 512}`: 256,
		`{"model_max_length": 512, "max_position_embeddings": 514}`:                        512,
		`{"model_max_length": 1e30, "max_position_embeddings": 514}`:                       514,
		`{"max_seq_length": null, "model_max_length": 128}`:                                128,
		`{"max_position_embeddings": 77}`:                                                  77,
		`{"max_seq_length": 0}`:                                                            0,
		`{"model_max_length": 1000000000000000019884624838656}`:                            0,
		`{}`: 0,
	} {
		var l limits
		if err := json.Unmarshal([]byte(in), &l); err != nil {
			t.Fatal(err)
		}
		got, err := l.maxTokens()
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %d, %v, want %d", in, got, err, want)
		}
	}
}

func FuzzParsePooling(f *testing.F) {
	f.Add([]byte(`{"word_embedding_dimension": 384, "pooling_mode_cls_token": true}`))
	f.Add([]byte(`{"embedding_dimension": 768, "pooling_mode": ["mean", "max"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parsePooling(data)
		if err == nil && (c.dim < 0 || c.mode != poolMean && c.mode != poolCLS && c.mode != poolMax) {
			t.Errorf("%s: accepted as %v", data, c)
		}
	})
}

func FuzzParseModules(f *testing.F) {
	f.Add([]byte(tinyFiles()["modules.json"]))
	f.Add([]byte(`[{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		modules, err := parseModules(data)
		if err == nil && (len(modules) < 2 || modules[0].kind() != "Transformer" || modules[1].kind() != "Pooling") {
			t.Errorf("%s: accepted as %v", data, modules)
		}
	})
}

func FuzzRewriteTokenizer(f *testing.F) {
	f.Add([]byte(tinyTokenizer))
	f.Add([]byte(`{"truncation": {"direction": "Left"}, "padding": {"pad_id": 1}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := rewriteTokenizer(data, 7)
		if err != nil {
			return
		}
		var got struct {
			Padding    any `json:"padding"`
			Truncation struct {
				Max int `json:"max_length"`
			} `json:"truncation"`
		}
		if err := json.Unmarshal(r.data, &got); err != nil || got.Padding != nil || got.Truncation.Max != 7 {
			t.Errorf("%s: became %s (%v)", data, r.data, err)
		}
	})
}
