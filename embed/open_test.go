package embed

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	withModule := func(module string) string {
		return fmt.Sprintf(`[{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}, {"path": "2", "type": %q}]`, module)
	}
	plain := func() *onnx.Graph { return tinyGraph(onnx.Int64, inputIDs) }
	text := &onnx.Graph{}
	text.Node("Cast", tokensOutput, []string{"ids3"}, onnx.Attr{Name: "to", Value: 8}) // strings
	text.Node("Unsqueeze", "ids3", []string{inputIDs, text.Ints("axes", 2)})
	text.Input(inputIDs, onnx.Int64, "batch", "sequence")
	text.Output(tokensOutput, onnx.Type(8), "batch", "sequence", 1)
	floatMask := plain()
	floatMask.Input(inputMask, onnx.Float32, "batch", "sequence")
	flat := &onnx.Graph{}
	flat.Node("Cast", "pooler_output", []string{inputIDs}, onnx.Attr{Name: "to", Value: int(onnx.Float32)})
	flat.Input(inputIDs, onnx.Int64, "batch", "sequence")
	flat.Output("pooler_output", onnx.Float32, "batch", "sequence")
	three := &onnx.Graph{}
	three.Node("Cast", tokensOutput, []string{inputIDs}, onnx.Attr{Name: "to", Value: int(onnx.Float32)})
	three.Input(inputIDs, onnx.Int64, "batch", "sequence", 2)
	three.Output(tokensOutput, onnx.Float32, "batch", "sequence", 2)
	outside := func(name string) *onnx.Graph {
		g := plain()
		g.External("weights", []int64{1}, name)
		return g
	}

	type files = map[string]string // instead of the good ones
	cases := []struct {
		name  string
		graph *onnx.Graph
		files files
		opts  []Option
		want  string
	}{
		{"no modules.json", nil, files{"modules.json": ""}, nil, "has no modules.json"},
		{"no modules.json, and what to do", nil, files{"modules.json": ""}, nil, "WithPooling says how to pool"},
		{"broken modules.json", nil, files{"modules.json": "[{"}, nil, "modules.json: unexpected end"},
		{"empty modules.json", nil, files{"modules.json": "[]"}, nil, "no modules"},
		{"unsupported module", nil, files{"modules.json": withModule("sentence_transformers.models.CNN")}, nil, `"2" of type "sentence_transformers.models.CNN" is not supported; supported are Transformer, Pooling, Dense`},
		{"static embedding", nil, files{"modules.json": `[{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}]`}, nil, `models.StaticEmbedding" is not supported`},
		{"unsupported order", nil, files{"modules.json": `[{"path": "", "type": "x.Pooling"}]`}, nil, "[Pooling] are not supported"},
		{"two poolings", nil, files{"modules.json": withModule("x.Pooling")}, nil, "[Transformer Pooling Pooling] are not supported"},
		{"a path that leads out", nil, files{"modules.json": `[{"path": "", "type": "x.Transformer"}, {"path": "../..", "type": "x.Pooling"}]`}, nil, "not a path inside the folder"},
		{"no pooling", nil, files{"1_Pooling/config.json": ""}, nil, "has no 1_Pooling/config.json"},
		{"unsupported pooling", nil, files{"1_Pooling/config.json": `{"pooling_mode_median": true}`}, nil, `pooling mode "median" is not supported; supported are cls, max, mean,`},
		{"pooling missing from modules.json", plain(), files{"modules.json": `[{"path": "", "type": "x.Transformer"}]`}, nil, "modules.json has no Pooling"},
		{"another dimension", plain(), files{"1_Pooling/config.json": `{"word_embedding_dimension": 384}`}, nil, "vectors of 2 numbers, but the pooling's config.json says 384"},
		{"no length", nil, files{"sentence_bert_config.json": ""}, nil, "how long may a text be?"},
		{"length of nothing", nil, files{"sentence_bert_config.json": `{"max_seq_length": 0}`}, nil, "a max_seq_length of 0"},
		{"length above the positions", nil, files{"config.json": `{"model_type": "bert", "max_position_embeddings": 8}`}, []Option{WithMaxSeqLength(9)}, "9 is more than the model's 8 positions"},
		{"another task", nil, files{"sentence_bert_config.json": `{"transformer_task": "fill-mask", "max_seq_length": 4}`}, nil, `transformer_task "fill-mask" is not supported`},
		{"pictures only", nil, files{"sentence_bert_config.json": `{"modality_config": {"image": {}}, "max_seq_length": 4}`}, nil, "knows no text, only [image]"},
		{"another output", nil, files{"sentence_bert_config.json": `{"modality_config": {"text": {"method": "forward", "method_output_name": "logits"}}, "max_seq_length": 4}`}, nil, `method_output_name "logits" is not supported`},
		{"query lengths", nil, files{"sentence_bert_config.json": `{"query_length": 32, "max_seq_length": 4}`}, nil, "query_length, document_length and query_expansion are not supported"},
		{"tokenizer's argument", nil, files{"sentence_bert_config.json": `{"tokenizer_args": {"add_bos": true}, "max_seq_length": 4}`}, nil, "argument add_bos is not supported"},
		{"a third side", nil, files{"tokenizer_config.json": `{"padding_side": "both"}`}, nil, `padding_side "both" is neither left nor right`},
		{"another kind of model", nil, files{"config_sentence_transformers.json": `{"model_type": "CrossEncoder"}`}, nil, `"CrossEncoder" is not supported`},
		{"unknown prompt", nil, files{"config_sentence_transformers.json": `{"prompts": {"q": "query: "}}`}, []Option{WithPromptName("query")}, `there is no prompt "query"; there are ["q"]`},
		{"two prompts", nil, nil, []Option{WithPromptName("query"), WithPrompt("x")}, "give one of them"},
		{"prompt without room", plain(), nil, []Option{WithPrompt("a b c a b c ")}, "leaves no room"},
		{"negative option", nil, nil, []Option{WithTruncateDim(-1)}, "WithTruncateDim(-1) must not be negative"},
		{"no such pooling", nil, nil, []Option{WithPooling("median")}, `WithPooling: the pooling mode "median" is not supported`},
		{"no pooling given", nil, nil, []Option{WithPooling([]Pooling{}...)}, "WithPooling: no pooling mode"},
		{"truncate_dim of nothing", nil, files{"config_sentence_transformers.json": `{"truncate_dim": 0}`}, nil, "a truncate_dim of 0"},
		{"truncated to more", plain(), nil, []Option{WithTruncateDim(3)}, "a vector of 2 numbers cannot be truncated to 3"},
		{"no tokenizer", nil, files{"tokenizer.json": ""}, nil, "has no tokenizer.json"},
		{"broken tokenizer", plain(), files{"tokenizer.json": `{"model": 1}`}, nil, "tokenizer.json: "},
		{"no model", nil, nil, nil, "has neither model.onnx nor onnx/model.onnx"},
		{"a model of another name", nil, files{"onnx/model_O4.onnx": "x"}, nil, "model_O4.onnx: open that file instead"},
		{"broken model", nil, files{"model.onnx": "this is not ONNX"}, nil, "model.onnx: "},
		{"unknown input", tinyGraph(onnx.Int64, inputIDs, "task_id"), nil, nil, `input "task_id", which is not supported`},
		{"input of floats", floatMask, nil, nil, "input attention_mask is of type"},
		{"input of rank 3", three, nil, nil, "input input_ids is of shape"},
		{"output of text", text, nil, nil, "output last_hidden_state: the type"},
		{"only a pooler's output", flat, nil, nil, "pooler_output of rank 2, of which WithOutput takes one"},
		{"no such output", plain(), nil, []Option{WithOutput("embedding")}, `no output "embedding"; it has last_hidden_state of rank 3`},
		{"weights outside", outside("../weights.bin"), nil, nil, `weights in "../weights.bin" are outside its folder`},
		{"weights outside, inside first", outside("x/../../weights.bin"), nil, nil, `are outside its folder`},
		{"weights elsewhere", outside("/etc/hostname"), nil, nil, `weights in "/etc/hostname" are outside its folder`},
		{"weights missing", outside("weights.bin"), nil, nil, `weights in "weights.bin" are not there`},
		{"no dense config", nil, files{"modules.json": withModule("x.Dense")}, nil, "has no 2/config.json"},
		{"dense of nothing", nil, files{"modules.json": withModule("x.Dense"), "2/config.json": `{"in_features": 2}`}, nil, "out_features 0: want numbers between"},
		{"unsupported activation", nil, files{"modules.json": withModule("x.Dense"), "2/config.json": `{"in_features": 2, "out_features": 2, "activation_function": "torch.nn.modules.activation.Softmax"}`}, nil, `activation.Softmax" is not supported; supported are torch's ELU, GELU`},
		{"foreign activation", nil, files{"modules.json": withModule("x.Dense"), "2/config.json": `{"in_features": 2, "out_features": 2, "activation_function": "mine.Tanh"}`}, nil, `"mine.Tanh" is not supported`},
		{"dense of tokens", nil, files{"modules.json": withModule("x.Dense"), "2/config.json": `{"in_features": 2, "out_features": 2, "module_input_name": "token_embeddings"}`}, nil, `module_input_name "token_embeddings" is not supported`},
		{"normalising tokens", nil, files{"modules.json": withModule("x.Normalize"), "2/config.json": `{"module_output_name": "token_embeddings"}`}, nil, `module_output_name "token_embeddings" is not supported`},
		{"pickled weights", nil, files{"modules.json": withModule("x.Dense"), "2/config.json": `{"in_features": 2, "out_features": 2}`, "2/pytorch_model.bin": "x"}, nil, "pickle format are not supported"},
		{"no weights", nil, files{"modules.json": withModule("x.Dense"), "2/config.json": `{"in_features": 2, "out_features": 2}`}, nil, "model.safetensors: no such file"},
		{"weights of another shape", nil, files{"modules.json": withModule("x.Dense"), "2/config.json": `{"in_features": 2, "out_features": 2}`, "2/model.safetensors": tensors(t, map[string][][]float64{"linear.weight": {{1, 2}}})}, nil, "linear.weight is of shape [1 2], and config.json says [2 2]"},
		{"a bias missing", nil, files{"modules.json": withModule("x.Dense"), "2/config.json": `{"in_features": 2, "out_features": 1}`, "2/model.safetensors": tensors(t, map[string][][]float64{"linear.weight": {{1, 2}}})}, nil, "no tensor linear.bias"},
		{"dense of another size", plain(), files{"modules.json": withModule("x.Dense"), "2/config.json": `{"in_features": 3, "out_features": 1, "bias": false}`, "2/model.safetensors": tensors(t, map[string][][]float64{"linear.weight": {{1, 2, 3}}})}, nil, "a Dense module of in_features 3 cannot take a vector of 2"},
		{"norm of another size", plain(), files{"modules.json": withModule("x.LayerNorm"), "2/config.json": `{"dimension": 1}`, "2/model.safetensors": tensors(t, map[string][][]float64{"norm.weight": {{1}}, "norm.bias": {{1}}})}, nil, "a LayerNorm of 1 numbers cannot take a vector of 2"},
		{"norm of nothing", nil, files{"modules.json": withModule("x.LayerNorm"), "2/config.json": `{}`}, nil, "a dimension of 0"},
		{"a golden sentence of nothing", plain(), files{goldenName: `{"text": "a"}`}, nil, goldenName + ": neither tokens nor a vector"},
		{"other tokens than golden", plain(), files{goldenName: `{"text": "a b", "tokens": [1, 3]}`}, nil, `"a b" has the tokens [1 2], and ` + goldenName + ` says [1 3]`},
		{"another vector than golden", plain(), files{goldenName: `{"text": "a b", "vector": [0.5, 1.5]}`}, nil, `number 1 of the vector of "a b" is 1, and ` + goldenName + " says 1.5"},
		{"a shorter vector than golden", plain(), files{goldenName: `{"text": "a b", "vector": [0.5, 1, 2]}`}, nil, "a vector of 2 numbers, and " + goldenName + " has 3"},
		{"a model that gives NaN", func() *onnx.Graph {
			g := &onnx.Graph{}
			g.Node("Gather", "words", []string{g.Floats("table", []int64{5, 2}, tinyTable...), inputIDs})
			g.Node("Sub", "zero", []string{"words", "words"})
			g.Node("Div", tokensOutput, []string{"zero", "zero"})
			g.Input(inputIDs, onnx.Int64, "batch", "sequence")
			g.Output(tokensOutput, onnx.Float32, "batch", "sequence", 2)
			return g
		}(), nil, nil, "fails at the sentence it is tried with: embed: a text of 4 tokens: number 0 of the vector is NaN"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			files := tinyFiles()
			for name, text := range c.files {
				files[name] = text
			}
			m, err := openTiny(t, c.graph, files, c.opts...)
			if err == nil {
				t.Fatalf("opened %v", m)
			}
			if !strings.HasPrefix(err.Error(), "embed: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant embed: ... %s", err, c.want)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nowhere")); err == nil || !strings.Contains(err.Error(), "there is no model folder") {
		t.Errorf("no folder: %v", err)
	}
}

func TestGoldenSentence(t *testing.T) {
	golden := mapsWith(tinyFiles(), goldenName, `{"text": "a b", "tokens": [1, 2], "vector": [0.5004, 1]}`)
	if _, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs), golden); err != nil {
		t.Error(err)
	}
	// It is not one for the vectors of another pooling.
	if _, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs), golden, WithPooling(PoolCLS)); err != nil {
		t.Error(err)
	}
	if _, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs), golden, WithLatency()); err != nil {
		t.Error(err)
	}
}

// A model and a tokenizer.json alone, with all else said in code.
func TestModelAlone(t *testing.T) {
	bare := map[string]string{"tokenizer.json": tinyTokenizer}
	dir := writeTiny(t, tinyGraph(onnx.Int64, inputIDs, inputMask), bare)
	for _, name := range []string{dir, filepath.Join(dir, "model.onnx")} {
		m, err := Open(name, WithPooling(PoolMax, PoolCLS), WithMaxSeqLength(3), WithNormalize())
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		got, err := m.Embed(t.Context(), []string{"a b c c", "c"})
		if err != nil {
			t.Fatal(err)
		}
		// Of a, b, c the largest are 1 and 4; the first is (1, 0).
		want := []float32{0.23570226, 0.94280905, 0.23570226, 0}
		if d := distance(got[0].Vector.Values, want); d > 1e-6 || m.Dim() != 4 {
			t.Errorf("%v, want %v", got[0].Vector.Values, want)
		}
		if got[0].Tokens != 3 || !got[0].Truncated || got[1].Tokens != 1 || got[1].Truncated {
			t.Errorf("%+v", got)
		}
	}
	if _, err := Open(dir, WithMaxSeqLength(3)); err == nil || !strings.Contains(err.Error(), "WithPooling says how to pool") {
		t.Errorf("without a pooling: %v", err)
	}
	if _, err := Open(dir, WithPooling(PoolMean)); err == nil || !strings.Contains(err.Error(), "WithMaxSeqLength says it, too") {
		t.Errorf("without a length: %v", err)
	}
}

// A file in a folder that has more of them, as Hugging Face's do.
func TestModelFileInAFolder(t *testing.T) {
	dir := writeTiny(t, nil, tinyFiles())
	alone := writeTiny(t, tinyGraph(onnx.Int64, inputIDs), nil)
	if err := os.Rename(alone, filepath.Join(dir, "onnx")); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "onnx", "model_other.onnx")
	if err := os.Rename(filepath.Join(dir, "onnx", "model.onnx"), other); err != nil {
		t.Fatal(err)
	}
	openMiniLM(t)
	m, err := Open(other)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got, err := m.Transform(t.Context(), []string{"A b"})
	if err != nil || distance(got[0].Values, []float32{0.5, 1}) > 1e-6 {
		t.Errorf("%v, %v", got, err)
	}
}

// Older folders have the transformer in a folder of its own, with the tokenizer.
func TestTransformerInItsOwnFolder(t *testing.T) {
	for _, model := range []string{"0_Transformer/model.onnx", "0_Transformer/onnx/model.onnx"} {
		files := map[string]string{}
		for name, text := range tinyFiles() {
			if name != "modules.json" && !strings.HasPrefix(name, "1_Pooling") {
				name = "0_Transformer/" + name
			}
			files[name] = text
		}
		files["modules.json"] = strings.Replace(files["modules.json"], `"path": ""`, `"path": "0_Transformer"`, 1)
		dir := writeTiny(t, tinyGraph(onnx.Int64, inputIDs), files)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, model)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "model.onnx"), filepath.Join(dir, model)); err != nil {
			t.Fatal(err)
		}
		openMiniLM(t)
		m, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		got, err := m.Embed(t.Context(), []string{"A b c c c"})
		if err != nil || distance(got[0].Vector.Values, []float32{-1.25, 2.5}) > 1e-6 || !got[0].Truncated {
			t.Errorf("%s: %v, %v", model, got, err)
		}
	}
}
