package embed

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

// A tiny model looks each token up in a table of vectors of two numbers, so
// that what comes out can be said beforehand. Its words are a, b, c.
const tinyTokenizer = `{
	"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
	"added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
	"model": {"type": "WordLevel", "vocab": {"[PAD]": 0, "a": 1, "b": 2, "c": 3, "[UNK]": 4}, "unk_token": "[UNK]"}
}`

var tinyTable = []float32{9, 9 /* pad */, 1, 0 /* a */, 0, 2 /* b */, -3, 4 /* c */, 5, 5 /* unknown */}

func tinyFiles() map[string]string {
	return map[string]string{
		"modules.json": `[
			{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
			{"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]`,
		"sentence_bert_config.json": `{"max_seq_length": 4, "do_lower_case": true}`,
		"1_Pooling/config.json":     `{"word_embedding_dimension": 2, "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}`,
		"config.json":               `{"pad_token_id": 0}`,
		"tokenizer.json":            tinyTokenizer,
	}
}

// tinyGraph makes the tiny model with inputs of a type.
func tinyGraph(t onnx.Type, inputs ...string) *onnx.Graph {
	g := &onnx.Graph{Name: "tiny"}
	table := g.Floats("table", []int64{5, 2}, tinyTable...)
	g.Node("Gather", "last_hidden_state", []string{table, inputIDs})
	for _, name := range inputs {
		g.Input(name, t, "batch", "sequence")
	}
	g.Output("last_hidden_state", onnx.Float32, "batch", "sequence", 2)
	return g
}

// writeTiny writes a model folder. A file with an empty text is left out.
func writeTiny(t *testing.T, g *onnx.Graph, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if text == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if g != nil {
		f, err := os.Create(filepath.Join(dir, "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := g.WriteTo(f); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func openTiny(t *testing.T, g *onnx.Graph, files map[string]string) (*Model, error) {
	t.Helper()
	openMiniLM(t) // ONNX Runtime, or a message what to do
	m, err := Open(writeTiny(t, g, files))
	if err == nil {
		t.Cleanup(func() { m.Close() })
	}
	return m, err
}

func TestTinyModels(t *testing.T) {
	// The padding's vector is (9, 9): a wrong mask shows. Four tokens are read.
	texts := []string{"a", "B c", "a b c c C", "c"}
	cases := []struct {
		name, pooling, modules string
		graph                  *onnx.Graph
		want                   [][]float32
	}{
		{name: "mean", graph: tinyGraph(onnx.Int64, inputIDs, inputMask, inputTypes),
			want: [][]float32{{1, 0}, {-1.5, 3}, {-1.25, 2.5}, {-3, 4}}},
		{name: "int32 and positions", graph: tinyGraph(onnx.Int32, inputIDs, inputPositions),
			want: [][]float32{{1, 0}, {-1.5, 3}, {-1.25, 2.5}, {-3, 4}}},
		{name: "cls", graph: tinyGraph(onnx.Int64, inputIDs), pooling: `{"pooling_mode_cls_token": true}`,
			want: [][]float32{{1, 0}, {0, 2}, {1, 0}, {-3, 4}}},
		{name: "max in the newer form", graph: tinyGraph(onnx.Int64, inputIDs), pooling: `{"embedding_dimension": 2, "pooling_mode": ["max"], "include_prompt": true}`,
			want: [][]float32{{1, 0}, {0, 4}, {1, 4}, {-3, 4}}},
		{name: "normalised", graph: tinyGraph(onnx.Int64, inputIDs), pooling: `{"pooling_mode": "cls"}`,
			modules: `[{"path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
				{"path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"},
				{"path": "2_Normalize", "type": "sentence_transformers.base.modules.normalize.Normalize"}]`,
			want: [][]float32{{1, 0}, {0, 1}, {1, 0}, {-0.6, 0.8}}},
		{name: "sentence_embedding, of open size", graph: func() *onnx.Graph {
			g := &onnx.Graph{}
			table := g.Floats("table", []int64{5, 2}, tinyTable...)
			g.Node("Gather", "tokens", []string{table, inputIDs})
			g.Node("ReduceMax", "sentence_embedding", []string{"tokens"}, onnx.Attr{Name: "axes", Value: []int{1}}, onnx.Attr{Name: "keepdims", Value: 0})
			g.Input(inputIDs, onnx.Int64, "batch", "sequence")
			g.Output("tokens", onnx.Float32, "batch", "sequence", "hidden")
			g.Output("sentence_embedding", onnx.Float32, "batch", "hidden")
			return g
		}(),
			want: [][]float32{{9, 9}, {9, 9}, {1, 4}, {9, 9}}}, // this graph has no mask
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			files := tinyFiles()
			if c.pooling != "" {
				files["1_Pooling/config.json"] = c.pooling
			}
			if c.modules != "" {
				files["modules.json"] = c.modules
			}
			m, err := openTiny(t, c.graph, files)
			if err != nil {
				t.Fatal(err)
			}
			if m.Dim() != 2 {
				t.Errorf("Dim() = %d, want 2", m.Dim())
			}
			got, err := m.Transform(t.Context(), texts)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if d := distance(got[i].Values, c.want[i]); d > 1e-6 {
					t.Errorf("%q: %v, want %v", texts[i], got[i].Values, c.want[i])
				}
			}
		})
	}
}

// A text may have no tokens at all when the tokenizer adds no special ones.
func TestTinyEmptyText(t *testing.T) {
	m, err := openTiny(t, tinyGraph(onnx.Int64, inputIDs, inputMask), tinyFiles())
	if err != nil {
		t.Fatal(err)
	}
	for _, texts := range [][]string{{""}, {" \n", "a"}} {
		got, err := m.Transform(t.Context(), texts)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[0].Values, []float32{0, 0}) {
			t.Errorf("%q: %v, want zeros", texts, got[0].Values)
		}
	}
}

func TestSpaceDependsOnWhatMakesVectors(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(*onnx.Graph, map[string]string){
		"as it is":                 func(*onnx.Graph, map[string]string) {},
		"weights":                  func(g *onnx.Graph, _ map[string]string) { g.Floats("more", nil, 1) },
		"weights beside the model": func(_ *onnx.Graph, f map[string]string) { f["model.onnx_data"] = "x" },
		"tokenizer":                func(_ *onnx.Graph, f map[string]string) { f["tokenizer.json"] += " " },
		"pooling":                  func(_ *onnx.Graph, f map[string]string) { f["1_Pooling/config.json"] = `{"pooling_mode": "cls"}` },
		"length":                   func(_ *onnx.Graph, f map[string]string) { f["sentence_bert_config.json"] = `{"max_seq_length": 5}` },
	} {
		g, files := tinyGraph(onnx.Int64, inputIDs), tinyFiles()
		change(g, files)
		m, err := openTiny(t, g, files)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[m.Space()]; ok {
			t.Errorf("%q and %q have the same space", name, other)
		}
		seen[m.Space()] = name
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	float := tinyGraph(onnx.Int64, inputIDs)
	float.Output("sentence_embedding", onnx.Float16, "batch", 2)
	float.Node("Cast", "sentence_embedding", []string{"last_hidden_state"}, onnx.Attr{Name: "to", Value: int(onnx.Float16)})
	floatMask := tinyGraph(onnx.Int64, inputIDs)
	floatMask.Input(inputMask, onnx.Float32, "batch", "sequence")
	flat := &onnx.Graph{}
	flat.Node("Cast", "pooler_output", []string{inputIDs}, onnx.Attr{Name: "to", Value: int(onnx.Float32)})
	flat.Input(inputIDs, onnx.Int64, "batch", "sequence")
	flat.Output("pooler_output", onnx.Float32, "batch", "sequence")

	cases := []struct {
		name  string
		graph *onnx.Graph
		files map[string]string // instead of the good ones
		want  string
	}{
		{"no modules.json", nil, map[string]string{"modules.json": ""}, "has no modules.json"},
		{"broken modules.json", nil, map[string]string{"modules.json": "[{"}, "modules.json: unexpected end"},
		{"unsupported module", nil, map[string]string{"modules.json": `[{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}, {"path": "2_Dense", "type": "x.models.Dense"}]`}, `"2_Dense" of type "x.models.Dense" is not supported`},
		{"unsupported order", nil, map[string]string{"modules.json": `[{"path": "", "type": "x.Pooling"}]`}, "[Pooling] are not supported"},
		{"a path that leads out", nil, map[string]string{"modules.json": `[{"path": "", "type": "x.Transformer"}, {"path": "../..", "type": "x.Pooling"}]`}, "not a path inside the folder"},
		{"no pooling", nil, map[string]string{"1_Pooling/config.json": ""}, "has no 1_Pooling/config.json"},
		{"unsupported pooling", nil, map[string]string{"1_Pooling/config.json": `{"pooling_mode_lasttoken": true}`}, `pooling mode "lasttoken" is not supported`},
		{"another dimension", tinyGraph(onnx.Int64, inputIDs), map[string]string{"1_Pooling/config.json": `{"word_embedding_dimension": 384}`}, "vectors of 2 numbers, but the pooling's config.json says 384"},
		{"no length", nil, map[string]string{"sentence_bert_config.json": ""}, "how long may a text be?"},
		{"a prompt", nil, map[string]string{"config_sentence_transformers.json": `{"prompts": {"q": "query: "}, "default_prompt_name": "q"}`}, `prompt "q" is not supported`},
		{"no tokenizer", nil, map[string]string{"tokenizer.json": ""}, "has no tokenizer.json"},
		{"broken tokenizer", tinyGraph(onnx.Int64, inputIDs), map[string]string{"tokenizer.json": `{"model": 1}`}, "tokenizer.json: "},
		{"no model", nil, nil, "has neither model.onnx nor onnx/model.onnx"},
		{"broken model", nil, map[string]string{"model.onnx": "this is not ONNX"}, "model.onnx: "},
		{"unknown input", tinyGraph(onnx.Int64, inputIDs, "task_id"), nil, `input "task_id", which is not supported`},
		{"input of floats", floatMask, nil, "input attention_mask is of type"},
		{"output of half floats", float, nil, "output sentence_embedding is of type"},
		{"only a pooler's output", flat, nil, "neither an output sentence_embedding nor one of rank 3"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			files := tinyFiles()
			for name, text := range c.files {
				files[name] = text
			}
			m, err := openTiny(t, c.graph, files)
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
