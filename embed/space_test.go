package embed

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

func TestSpaceDependsOnWhatMakesVectors(t *testing.T) {
	const prompts = `{"prompts": {"query": "a ", "document": "b "}}`
	dense := map[string]string{
		"modules.json":        `[{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}, {"path": "2", "type": "Dense"}]`,
		"2/config.json":       `{"in_features": 2, "out_features": 2, "bias": false, "activation_function": "torch.nn.Tanh"}`,
		"2/model.safetensors": tensors(t, map[string][][]float64{"linear.weight": {{1, 2}, {3, 4}}}),
	}
	with := func(base map[string]string, more ...string) map[string]string {
		files := tinyFiles()
		for k, v := range base {
			files[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	weights := tinyGraph(onnx.Int64, inputIDs)
	weights.Floats("more", nil, 1)
	external := tinyGraph(onnx.Int64, inputIDs)
	external.External("beside", []int64{1}, "model.bin")
	plain := tinyGraph(onnx.Int64, inputIDs)

	type model struct {
		name  string
		graph *onnx.Graph
		files map[string]string
		opts  []Option
	}
	seen := map[string]string{}
	for _, c := range []model{
		{"as it is", plain, nil, nil},
		{"weights", weights, nil, nil},
		{"weights beside the model", external, with(nil, "model.bin", "abcd"), nil},
		{"other weights beside the model", external, with(nil, "model.bin", "abcx"), nil},
		{"tokenizer", plain, with(nil, "tokenizer.json", tinyTokenizer+" "), nil},
		{"pooling", plain, with(nil, "1_Pooling/config.json", `{"pooling_mode": "cls"}`), nil},
		{"order of poolings", plain, nil, []Option{WithPooling(PoolMean, PoolMax)}},
		{"other order of poolings", plain, nil, []Option{WithPooling(PoolMax, PoolMean)}},
		{"length", plain, nil, []Option{WithMaxSeqLength(5)}},
		{"case", plain, with(nil, "sentence_bert_config.json", `{"max_seq_length": 4}`), nil},
		{"padding side", plain, with(nil, "tokenizer_config.json", `{"padding_side": "left"}`), nil},
		{"truncation side", plain, with(nil, "tokenizer_config.json", `{"truncation_side": "left"}`), nil},
		{"padding's id", plain, with(nil, "config.json", `{"pad_token_id": 1}`), nil},
		{"special tokens as text", plain, nil, []Option{WithSpecialTokensAsText()}},
		{"normalised", plain, nil, []Option{WithNormalize()}},
		{"truncated", plain, nil, []Option{WithTruncateDim(1)}},
		{"truncated, normalised", plain, nil, []Option{WithTruncateDim(1), WithNormalize()}},
		{"prompt", plain, nil, []Option{WithPrompt("b ")}},
		{"other prompt", plain, nil, []Option{WithPrompt("c ")}},
		{"prompt, passed over", plain, with(nil, "1_Pooling/config.json", `{"include_prompt": false}`), []Option{WithPrompt("b ")}},
		{"query and document", plain, with(nil, "config_sentence_transformers.json", prompts), []Option{ForQueries()}},
		{"dense", plain, with(dense), nil},
		{"dense, activation", plain, with(dense, "2/config.json", `{"in_features": 2, "out_features": 2, "bias": false, "activation_function": "torch.nn.ReLU"}`), nil},
		{"dense, residual", plain, with(dense, "2/config.json", `{"in_features": 2, "out_features": 2, "bias": false, "use_residual": true, "activation_function": "torch.nn.Tanh"}`), nil},
		{"dense, weights", plain, with(dense, "2/model.safetensors", tensors(t, map[string][][]float64{"linear.weight": {{1, 2}, {3, 5}}})), nil},
	} {
		if c.files == nil {
			c.files = tinyFiles()
		}
		m, err := openTiny(t, c.graph, c.files, c.opts...)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if other, ok := seen[m.Space()]; ok {
			t.Errorf("%q and %q have the same space", c.name, other)
		}
		if len(m.Space()) != 32 {
			t.Errorf("%q: space %q", c.name, m.Space())
		}
		seen[m.Space()] = c.name
	}

	// What does not make other vectors is no other space.
	for _, c := range []struct {
		name, as string
		model
	}{
		{"again", "as it is", model{"", plain, tinyFiles(), nil}},
		{"threads, batches", "as it is", model{"", plain, tinyFiles(), []Option{WithLatency(), WithBatchTokens(7), WithBatchInvariant(true)}}},
		{"the same in options", "as it is", model{"", plain, tinyFiles(), []Option{WithPooling(PoolMean), WithMaxSeqLength(4), WithPrompt("")}}},
		{"the file that says it", "as it is", model{"", plain, with(nil, "sentence_bert_config.json", "", "sentence_albert_config.json", tinyFiles()["sentence_bert_config.json"]), nil}},
		{"prompt by name", "prompt", model{"", plain, with(nil, "config_sentence_transformers.json", prompts), []Option{WithPromptName("document")}}},
		{"documents", "query and document", model{"", plain, with(nil, "config_sentence_transformers.json", prompts), []Option{ForDocuments()}}},
		{"roles without prompts", "as it is", model{"", plain, tinyFiles(), []Option{ForDocuments()}}},
		{"prompts that are not used", "as it is", model{"", plain, with(nil, "config_sentence_transformers.json", prompts), nil}},
	} {
		m, err := openTiny(t, c.graph, c.files, c.opts...)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if seen[m.Space()] != c.as {
			t.Errorf("%q has the space of %q, want that of %q", c.name, seen[m.Space()], c.as)
		}
	}
}

// A file's name is not what a model is.
func TestSpaceIsNotOfNames(t *testing.T) {
	dir := writeTiny(t, tinyGraph(onnx.Int64, inputIDs), tinyFiles())
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	other := filepath.Join(dir, "other.onnx")
	if err := os.Rename(filepath.Join(dir, "model.onnx"), other); err != nil {
		t.Fatal(err)
	}
	b, err := Open(other)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if a.Space() != b.Space() {
		t.Errorf("%s and %s", a.Space(), b.Space())
	}
}
