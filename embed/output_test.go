package embed

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

// cast adds an output of another type to the tiny model.
func cast(to onnx.Type, name string, dims ...any) *onnx.Graph {
	g := &onnx.Graph{}
	g.Node("Gather", "words", []string{g.Floats("table", []int64{5, 2}, tinyTable...), inputIDs})
	from := "words"
	if len(dims) == 2 {
		from = g.Node("ReduceMax", "largest", []string{"words"}, onnx.Attr{Name: "axes", Value: []int{1}}, onnx.Attr{Name: "keepdims", Value: 0})
	}
	if to == onnx.Uint8 {
		from = g.Node("Abs", "positive", []string{from})
	}
	if dims[len(dims)-1] == "hidden" { // ONNX Runtime finds the length, unless it depends on values
		g.Node("Cast", "both", []string{g.Ints("ones", 1, 1)}, onnx.Attr{Name: "to", Value: 9})
		from = g.Node("Compress", "same", []string{from, "both"}, onnx.Attr{Name: "axis", Value: len(dims) - 1})
	}
	g.Node("Cast", name, []string{from}, onnx.Attr{Name: "to", Value: int(to)})
	g.Input(inputIDs, onnx.Int64, "batch", "sequence")
	g.Output(name, to, dims...)
	return g
}

func TestOutputTypes(t *testing.T) {
	types := map[string]onnx.Type{"float32": onnx.Float32, "float16": onnx.Float16, "bfloat16": onnx.BFloat16, "float64": onnx.Float64, "int8": onnx.Int8, "uint8": onnx.Uint8}
	for name, typ := range types {
		third := float32(-3)
		if typ == onnx.Uint8 {
			third = 3
		}
		for _, open := range []bool{false, true} { // does the model say how long a vector is?
			last := any(2)
			if open {
				last = "hidden"
			}
			t.Run(fmt.Sprintf("%s/tokens/%t", name, open), func(t *testing.T) {
				m, err := openTiny(t, cast(typ, tokensOutput, "batch", "sequence", last), tinyFiles())
				if err != nil {
					t.Fatal(err)
				}
				got, err := m.Transform(t.Context(), []string{"a b", "c", "c c a b"})
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range [][]float32{{0.5, 1}, {third, 4}, {(2*third + 1) / 4, 2.5}} {
					if d := distance(got[i].Values, want); d > 1e-6 {
						t.Errorf("text %d: %v, want %v", i, got[i].Values, want)
					}
				}
			})
			t.Run(fmt.Sprintf("%s/sentence/%t", name, open), func(t *testing.T) {
				m, err := openTiny(t, cast(typ, sentenceOutput, "batch", last), tinyFiles())
				if open && (typ == onnx.Float16 || typ == onnx.BFloat16) {
					if err == nil || !strings.Contains(err.Error(), "does not say how long its vectors are") {
						t.Errorf("%v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				got, err := m.Transform(t.Context(), []string{"a b", "c c"})
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range [][]float32{{1, 2}, {third, 4}} {
					if d := distance(got[i].Values, want); d > 1e-6 {
						t.Errorf("text %d: %v, want %v", i, got[i].Values, want)
					}
				}
			})
		}
	}
}

// A model of 16 bits may leave it to config.json how long its vectors are.
func TestOutputLengthFromConfig(t *testing.T) {
	files := tinyFiles()
	files["1_Pooling/config.json"] = `{}`
	files["config.json"] = `{"hidden_size": 2}`
	m, err := openTiny(t, cast(onnx.Float16, tokensOutput, "batch", "sequence", "hidden"), files)
	if err != nil || m.Dim() != 2 {
		t.Errorf("%v", err)
	}
	files["config.json"] = `{}`
	if _, err := openTiny(t, cast(onnx.Float16, tokensOutput, "batch", "sequence", "hidden"), files); err == nil || !strings.Contains(err.Error(), "hidden_size in config.json") {
		t.Errorf("%v", err)
	}
}

// twoOutputs has the tokens' vectors, BERT's pooler beside it, and the
// sentence's where it is asked for.
func twoOutputs(sentence bool) *onnx.Graph {
	g := tinyGraph(onnx.Int64, inputIDs, inputMask)
	g.Node("ReduceMax", "pooler_output", []string{tokensOutput}, onnx.Attr{Name: "axes", Value: []int{1}}, onnx.Attr{Name: "keepdims", Value: 0})
	g.Output("pooler_output", onnx.Float32, "batch", 2)
	if sentence {
		g.Node("Mul", sentenceOutput, []string{"pooler_output", g.Float("ten", 10)})
		g.Output(sentenceOutput, onnx.Float32, "batch", 2)
	}
	return g
}

func TestWhichOutput(t *testing.T) {
	files := tinyFiles()
	files["modules.json"] = `[{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}, {"path": "2", "type": "Dense"}, {"path": "3", "type": "Normalize"}]`
	files["2/config.json"] = `{"in_features": 2, "out_features": 2, "bias": false, "activation_function": "torch.nn.Identity"}`
	files["2/model.safetensors"] = tensors(t, map[string][][]float64{"linear.weight": {{0, 1}, {1, 0}}}) // changes the numbers' places
	for _, c := range []struct {
		name     string
		sentence bool
		pooling  string
		opts     []Option
		want     []float32 // of the length 1
	}{
		{"the tokens'", false, "", nil, []float32{0.8944272, 0.4472136}},
		{"the sentence's, as it is", true, "", nil, []float32{0.4472136, 0.8944272}},
		{"the tokens', asked for", true, "", []Option{WithOutput(tokensOutput)}, []float32{0.8944272, 0.4472136}},
		{"the pooler's, asked for", true, "", []Option{WithOutput("pooler_output")}, []float32{0.8944272, 0.4472136}},
		{"the tokens', to pass over a prompt", true, `{"include_prompt": false}`, []Option{WithPrompt("c ")}, []float32{0.8944272, 0.4472136}},
		{"the sentence's, no prompt to pass over", true, `{"include_prompt": false}`, nil, []float32{0.4472136, 0.8944272}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files["1_Pooling/config.json"] = c.pooling
			if c.pooling == "" {
				files["1_Pooling/config.json"] = `{"word_embedding_dimension": 2}`
			}
			m, err := openTiny(t, twoOutputs(c.sentence), files, c.opts...)
			if err != nil {
				t.Fatal(err)
			}
			// The mean of a and b is (0.5, 1), the largest (1, 2).
			got, err := m.Transform(t.Context(), []string{"a b"})
			if err != nil || distance(got[0].Values, c.want) > 1e-6 {
				t.Errorf("%v, %v, want %v", got, err, c.want)
			}
		})
	}
	if _, err := openTiny(t, cast(onnx.Float32, sentenceOutput, "batch", 2), mapsWith(tinyFiles(), "1_Pooling/config.json", `{"include_prompt": false}`), WithPrompt("c ")); err == nil || !strings.Contains(err.Error(), "the pooling needs the tokens' vectors") {
		t.Errorf("a prompt that cannot be passed over: %v", err)
	}
}

// Some exports are for one text of one length.
func TestFixedShape(t *testing.T) {
	fixed := func(batch, width any) *onnx.Graph {
		g := &onnx.Graph{}
		g.Node("Gather", tokensOutput, []string{g.Floats("table", []int64{5, 2}, tinyTable...), inputIDs})
		g.Input(inputIDs, onnx.Int64, batch, width)
		g.Input(inputMask, onnx.Int64, batch, width)
		g.Output(tokensOutput, onnx.Float32, batch, width, 2)
		return g
	}
	for _, shape := range [][2]any{{1, 6}, {1, "sequence"}, {"batch", 4}} {
		m, err := openTiny(t, fixed(shape[0], shape[1]), tinyFiles())
		if err != nil {
			t.Fatalf("%v: %v", shape, err)
		}
		if m.BatchInvariant() != (shape[0] == 1) { // else batches fail first
			t.Errorf("%v: one by one %t", shape, m.BatchInvariant())
		}
		got, err := m.Transform(t.Context(), []string{"a b", "", "c", "a b c c b"})
		if err != nil {
			t.Fatalf("%v: %v", shape, err)
		}
		for i, want := range [][]float32{{0.5, 1}, {0, 0}, {-3, 4}, {-1.25, 2.5}} {
			if d := distance(got[i].Values, want); d > 1e-6 {
				t.Errorf("%v: text %d: %v, want %v", shape, i, got[i].Values, want)
			}
		}
	}
	if _, err := openTiny(t, fixed(1, 3), tinyFiles()); err == nil || !strings.Contains(err.Error(), "WithMaxSeqLength(3) fits") {
		t.Errorf("too narrow: %v", err)
	}
	if _, err := openTiny(t, fixed(8, 4), tinyFiles()); err == nil || !strings.Contains(err.Error(), "is of shape") {
		t.Errorf("eight texts: %v", err)
	}
}

func TestWeightsBesideTheModel(t *testing.T) {
	g := &onnx.Graph{}
	g.Node("Gather", tokensOutput, []string{g.External("table", []int64{5, 2}, "weights/model.onnx_data"), inputIDs})
	g.Input(inputIDs, onnx.Int64, "batch", "sequence")
	g.Output(tokensOutput, onnx.Float32, "batch", "sequence", 2)
	var data []byte
	for _, x := range tinyTable {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	dir := writeTiny(t, g, mapsWith(tinyFiles(), "weights/model.onnx_data", string(data)))
	// The process' own folder must not matter.
	t.Chdir(t.TempDir())
	openMiniLM(t)
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got, err := m.Transform(t.Context(), []string{"a b"})
	if err != nil || distance(got[0].Values, []float32{0.5, 1}) > 1e-6 {
		t.Errorf("%v, %v", got, err)
	}

	// A folder of links, as Hugging Face's cache is.
	links := t.TempDir()
	err = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, name)
		if err != nil || d.IsDir() {
			return os.MkdirAll(filepath.Join(links, inside), 0o755)
		}
		return os.Symlink(name, filepath.Join(links, inside))
	})
	if err != nil {
		t.Fatal(err)
	}
	linked, err := Open(links)
	if err != nil {
		t.Fatalf("weights behind links: %v", err)
	}
	defer linked.Close()
	if linked.Space() != m.Space() {
		t.Error("links make another space")
	}
}
