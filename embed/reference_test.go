package embed

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

// Models made here, of every pooling and module, against what torch's
// documentation says they do, computed in float64 from the tokens on, one text
// at a time. The model's numbers depend on all of its inputs.

const (
	refWords  = 40 // w0 to w39; then the padding, then the special tokens < and >
	refPad    = refWords
	refHidden = 6
)

// refModel is a random model. Its files and its reference come from one place.
type refModel struct {
	table  [][]float64 // of words, the padding, and < and >
	place  []float64   // added times a token's position
	masked []float64   // added where the mask is 1
}

func newRefModel(r *rand.Rand) *refModel {
	m := &refModel{place: random(r, refHidden), masked: random(r, refHidden)}
	for range refWords + 3 {
		m.table = append(m.table, random(r, refHidden))
	}
	for i := range m.table[refPad] {
		m.table[refPad][i] = 50 + float64(i) // shows where padding counts
	}
	return m
}

// random gives numbers that float32 has exactly.
func random(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(float32(r.NormFloat64()))
	}
	return v
}

func narrow(lists ...[]float64) (flat []float32) {
	for _, list := range lists {
		for _, x := range list {
			flat = append(flat, float32(x))
		}
	}
	return flat
}

func (m *refModel) graph(t onnx.Type) *onnx.Graph {
	g := &onnx.Graph{}
	for _, name := range []string{inputIDs, inputMask, inputTypes, inputPositions} {
		g.Input(name, t, "batch", "sequence")
	}
	axes := g.Ints("axes", 2)
	add := func(out, to, input string, by []float32) string {
		g.Node("Cast", out+"_float", []string{input}, onnx.Attr{Name: "to", Value: int(onnx.Float32)})
		g.Node("Unsqueeze", out+"_column", []string{out + "_float", axes})
		g.Node("Mul", out+"_part", []string{out + "_column", g.Floats(out+"_by", []int64{1, 1, refHidden}, by...)})
		return g.Node("Add", out, []string{to, out + "_part"})
	}
	words := g.Node("Gather", "words", []string{g.Floats("table", []int64{refWords + 3, refHidden}, narrow(m.table...)...), inputIDs})
	placed := add("placed", words, inputPositions, narrow(m.place))
	typed := add("typed", placed, inputTypes, []float32{100, 100, 100, 100, 100, 100}) // must be 0
	add(tokensOutput, typed, inputMask, narrow(m.masked))
	g.Output(tokensOutput, onnx.Float32, "batch", "sequence", refHidden)
	return g
}

func (m *refModel) tokenizer() string {
	vocab := map[string]int{"[PAD]": refPad, "<": refPad + 1, ">": refPad + 2}
	for i := range refWords {
		vocab[fmt.Sprintf("w%d", i)] = i
	}
	words, _ := json.Marshal(vocab)
	return fmt.Sprintf(`{"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
		"added_tokens": [{"id": %d, "content": "[PAD]", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
		"post_processor": {"type": "TemplateProcessing", "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
			"single": [{"SpecialToken": {"id": "<", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": ">", "type_id": 0}}],
			"special_tokens": {"<": {"id": "<", "ids": [%d], "tokens": ["<"]}, ">": {"id": ">", "ids": [%d], "tokens": [">"]}}},
		"model": {"type": "WordLevel", "vocab": %s, "unk_token": "w0"}}`, refPad, refPad+1, refPad+2, words)
}

// tokens gives the vectors of a text's tokens, special ones around them.
func (m *refModel) tokens(text string, first int) (out [][]float64) {
	ids := []int{refPad + 1}
	for _, w := range strings.Fields(text) {
		var id int
		_, _ = fmt.Sscanf(w, "w%d", &id)
		ids = append(ids, id)
	}
	for i, id := range append(ids, refPad+2) {
		v := slices.Clone(m.table[id])
		for j := range v {
			v[j] += float64(first+i)*m.place[j] + m.masked[j]
		}
		out = append(out, v)
	}
	return out
}

// refPool pools the tokens from skip on.
func refPool(mode string, tokens [][]float64, skip int) []float64 {
	dim := len(tokens[0])
	out := make([]float64, dim)
	n := float64(len(tokens) - skip)
	for j := range dim {
		var sum, weighted, weights float64
		best := math.Inf(-1)
		for i := skip; i < len(tokens); i++ {
			x := tokens[i][j]
			sum += x
			weighted += float64(i+1) * x
			weights += float64(i + 1)
			best = math.Max(best, x)
		}
		out[j] = map[string]float64{
			"cls": tokens[skip][j], "lasttoken": tokens[len(tokens)-1][j], "max": best,
			"mean": sum / n, "mean_sqrt_len_tokens": sum / math.Sqrt(n), "weightedmean": weighted / weights,
		}[mode]
	}
	return out
}

// refDense is torch.nn.Linear and an activation after it.
func refDense(weight [][]float64, bias, v []float64, activation func(float64) float64) []float64 {
	out := make([]float64, len(weight))
	for i, row := range weight {
		for j := range row {
			out[i] += row[j] * v[j]
		}
		if bias != nil {
			out[i] += bias[i]
		}
		out[i] = activation(out[i])
	}
	return out
}

func refNorm(v []float64) []float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	out := slices.Clone(v)
	for i := range out {
		out[i] /= math.Max(math.Sqrt(sum), 1e-12)
	}
	return out
}

func refLayerNorm(v, weight, bias []float64) []float64 {
	n := float64(len(v))
	mean, square := 0.0, 0.0
	for _, x := range v {
		mean += x / n
		square += x * x / n
	}
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = (x-mean)/math.Sqrt(square-mean*mean+1e-5)*weight[i] + bias[i]
	}
	return out
}

// refTexts have 0 to 30 words.
func refTexts(r *rand.Rand) []string {
	texts := []string{""}
	for range 40 {
		var words []string
		for range 1 + r.IntN(30) {
			words = append(words, fmt.Sprintf("w%d", r.IntN(refWords)))
		}
		texts = append(texts, strings.Join(words, " "))
	}
	return texts
}

// files makes a folder's files; more are put over the plain ones. padLeft and
// the padding's id are told in the files that say them.
func (m *refModel) files(more map[string]string) map[string]string {
	files := map[string]string{
		"modules.json": `[{"path": "", "type": "sentence_transformers.models.Transformer"},
			{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]`,
		"sentence_bert_config.json": `{"max_seq_length": 64}`,
		"1_Pooling/config.json":     fmt.Sprintf(`{"word_embedding_dimension": %d, "pooling_mode_mean_tokens": true}`, refHidden),
		"config.json":               `{}`,
		"tokenizer_config.json":     `{"pad_token": "[PAD]"}`,
		"tokenizer.json":            m.tokenizer(),
	}
	for name, text := range more {
		files[name] = text
	}
	return files
}

// compare holds what Millrace makes of the texts, all at once, against want.
func compare(t *testing.T, m *Model, texts []string, want func(text string) []float64) {
	t.Helper()
	got, err := m.Transform(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		w := want(text)
		if len(w) != m.Dim() || len(w) != len(got[i].Values) {
			t.Fatalf("%q: %d numbers, Dim() %d, want %d", text, len(got[i].Values), m.Dim(), len(w))
		}
		size := 1.0
		for _, x := range w {
			size = max(size, math.Abs(x))
		}
		if d := distance(got[i].Values, narrow(w)); d > 1e-5*size {
			t.Errorf("%q: differs by %g\n got %v\nwant %v", text, d, got[i].Values, w)
		}
	}
}

// tensors gives a safetensors file. A tensor of one row is a vector, unless its
// name says that it is a matrix of a linear layer.
func tensors(t *testing.T, all map[string][][]float64) string {
	t.Helper()
	header, data := map[string]any{}, []byte{}
	for name, rows := range all {
		from := len(data)
		for _, row := range rows {
			for _, x := range row {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(x)))
			}
		}
		shape := []int{len(rows), len(rows[0])}
		if strings.HasSuffix(name, "bias") || strings.HasPrefix(name, "norm.") {
			shape = shape[1:]
		}
		header[name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int{from, len(data)}}
	}
	head, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return string(append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...), data...))
}
