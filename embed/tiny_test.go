package embed

import (
	"os"
	"path/filepath"
	"slices"
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

func openTiny(t *testing.T, g *onnx.Graph, files map[string]string, opts ...Option) (*Model, error) {
	t.Helper()
	openMiniLM(t) // ONNX Runtime, or a message what to do
	m, err := Open(writeTiny(t, g, files), opts...)
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
			m, err := openTiny(t, c.graph, files, WithLatency()) // all in one batch
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
