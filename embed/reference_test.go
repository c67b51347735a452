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

func TestPoolingsAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	m, texts := newRefModel(r), refTexts(r)
	names := []string{"cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"}
	lists := [][]string{{"lasttoken", "cls"}, {"mean", "weightedmean", "max"}, names}
	for _, n := range names {
		lists = append(lists, []string{n})
	}
	for _, side := range []string{"right", "left"} {
		for _, typ := range []onnx.Type{onnx.Int64, onnx.Int32} {
			graph := m.graph(typ)
			for _, modes := range lists {
				list, _ := json.Marshal(modes)
				switches := map[string]bool{}
				for _, mode := range modes {
					switches["pooling_mode_"+map[string]string{"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens", "weightedmean": "weightedmean_tokens"}[mode]] = true
					switch mode {
					case "lasttoken", "mean_sqrt_len_tokens":
						switches["pooling_mode_"+mode] = true
					}
				}
				delete(switches, "pooling_mode_")
				old, _ := json.Marshal(switches)
				for form, config := range map[string]string{"new": fmt.Sprintf(`{"pooling_mode": %s}`, list), "old": string(old)} {
					t.Run(fmt.Sprintf("%s/type%d/%s/%s", side, typ, strings.Join(modes, "+"), form), func(t *testing.T) {
						model, err := openTiny(t, graph, m.files(map[string]string{
							"1_Pooling/config.json": config,
							"tokenizer_config.json": fmt.Sprintf(`{"pad_token": {"content": "[PAD]"}, "padding_side": %q}`, side),
						}))
						if err != nil {
							t.Fatal(err)
						}
						order := modes
						if form == "old" { // it has an order of its own
							order = nil
							for _, n := range names {
								if slices.Contains(modes, n) {
									order = append(order, n)
								}
							}
						}
						compare(t, model, texts, func(text string) (want []float64) {
							for _, mode := range order {
								want = append(want, refPool(mode, m.tokens(text, 0), 0)...)
							}
							return want
						})
					})
				}
			}
		}
	}
}

// RoBERTa's family counts positions from behind the padding's id.
func TestPositionsOfRoberta(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2))
	m, texts := newRefModel(r), refTexts(r)
	model, err := openTiny(t, m.graph(onnx.Int64), m.files(map[string]string{
		"sentence_bert_config.json":    "",
		"sentence_roberta_config.json": `{"max_seq_length": 70}`,
		"config.json":                  `{"model_type": "roberta", "pad_token_id": 1, "max_position_embeddings": 66}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if model.MaxSeqLength() != 64 {
		t.Errorf("texts of %d tokens, want 64", model.MaxSeqLength())
	}
	compare(t, model, texts, func(text string) []float64 { return refPool("mean", m.tokens(text, 2), 0) })
}

func TestPromptsAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 3))
	m, texts := newRefModel(r), refTexts(r)
	graph := m.graph(onnx.Int64)
	prompts := `{"prompts": {"query": "w1 w2 ", "passage": "w3 ", "other": ""}, "default_prompt_name": %s}`
	cases := []struct {
		name, usual string
		opts        []Option
		prompt      string
	}{
		{"default", `"query"`, nil, "w1 w2 "},
		{"no default", `null`, nil, ""},
		{"unknown default", `"nobody"`, nil, ""},
		{"by name", `"query"`, []Option{WithPromptName("passage")}, "w3 "},
		{"by name, empty", `"query"`, []Option{WithPromptName("other")}, ""},
		{"own", `"query"`, []Option{WithPrompt("w9 w9 w9 ")}, "w9 w9 w9 "},
		{"none", `"query"`, []Option{WithPrompt("")}, ""},
		{"queries", `null`, []Option{ForQueries()}, "w1 w2 "},
		{"documents", `"query"`, []Option{ForDocuments()}, "w3 "},
	}
	spaces := map[string]string{}
	for _, include := range []bool{true, false} {
		for _, mode := range []string{"cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"} {
			for _, c := range cases {
				t.Run(fmt.Sprintf("%s/%t/%s", mode, include, c.name), func(t *testing.T) {
					model, err := openTiny(t, graph, m.files(map[string]string{
						"1_Pooling/config.json":             fmt.Sprintf(`{"pooling_mode": %q, "include_prompt": %t}`, mode, include),
						"config_sentence_transformers.json": fmt.Sprintf(prompts, c.usual),
					}), c.opts...)
					if err != nil {
						t.Fatal(err)
					}
					skip := 0
					if !include && c.prompt != "" {
						skip = 1 + len(strings.Fields(c.prompt))
					}
					compare(t, model, texts, func(text string) []float64 {
						return refPool(mode, m.tokens(c.prompt+text, 0), skip)
					})
					spaces[fmt.Sprintf("%t/%s/%s", include, mode, c.name)] = model.Space()
				})
			}
		}
	}
	for _, same := range [][2]string{
		{"no default", "unknown default"}, {"no default", "none"}, {"none", "by name, empty"},
	} {
		if spaces["true/mean/"+same[0]] != spaces["true/mean/"+same[1]] {
			t.Errorf("%s: not one space", same)
		}
	}
	for _, different := range [][2]string{{"true/mean/default", "true/mean/none"}, {"true/mean/default", "true/mean/by name"}, {"true/mean/default", "false/mean/default"}, {"true/mean/queries", "true/mean/none"}} {
		if spaces[different[0]] == spaces[different[1]] {
			t.Errorf("%s: one space", different)
		}
	}
}

func TestModulesAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 4))
	m, texts := newRefModel(r), refTexts(r)
	graph := m.graph(onnx.Int64)
	matrix := func(rows, cols int) (out [][]float64) {
		for range rows {
			out = append(out, random(r, cols))
		}
		return out
	}
	wide, back, residual := matrix(9, refHidden), matrix(refHidden, 9), matrix(9, refHidden)
	square := matrix(refHidden, refHidden)
	wideBias, backBias, normWeight, normBias := random(r, 9), random(r, refHidden), random(r, 9), random(r, 9)
	files := m.files(map[string]string{
		"2_Dense/config.json":           `{"in_features": 6, "out_features": 9, "bias": true, "activation_function": "torch.nn.modules.activation.Tanh"}`,
		"2_Dense/model.safetensors":     tensors(t, map[string][][]float64{"linear.weight": wide, "linear.bias": {wideBias}}),
		"2_Residual/config.json":        `{"in_features": 6, "out_features": 9, "bias": false, "use_residual": true, "activation_function": "torch.nn.modules.linear.Identity"}`,
		"2_Residual/model.safetensors":  tensors(t, map[string][][]float64{"linear.weight": wide, "residual.weight": residual}),
		"2_Square/config.json":          `{"in_features": 6, "out_features": 6, "bias": false, "use_residual": true, "activation_function": "torch.nn.modules.activation.ReLU"}`,
		"2_Square/model.safetensors":    tensors(t, map[string][][]float64{"linear.weight": square}),
		"3_LayerNorm/config.json":       `{"dimension": 9}`,
		"3_LayerNorm/model.safetensors": tensors(t, map[string][][]float64{"norm.weight": {normWeight}, "norm.bias": {normBias}}),
		"4_Dense/config.json":           `{"in_features": 9, "out_features": 6, "activation_function": "torch.nn.modules.activation.GELU", "module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}`,
		"4_Dense/model.safetensors":     tensors(t, map[string][][]float64{"linear.weight": back, "linear.bias": {backBias}}),
		"9_Dropout/config.json":         `{"dropout": 0.5}`,
	})
	identity := func(x float64) float64 { return x }
	relu := func(x float64) float64 { return math.Max(x, 0) }
	gelu := func(x float64) float64 { return 0.5 * x * math.Erfc(-x/math.Sqrt2) }
	plus := func(a, b []float64) []float64 {
		out := slices.Clone(a)
		for i := range out {
			out[i] += b[i]
		}
		return out
	}
	for name, c := range map[string]struct {
		modules string // after the pooling
		opts    []Option
		want    func([]float64) []float64
	}{
		"normalise":        {"Normalize", nil, refNorm},
		"dense":            {"Dense", nil, func(v []float64) []float64 { return refDense(wide, wideBias, v, math.Tanh) }},
		"dense, normalise": {"Dense Normalize", nil, func(v []float64) []float64 { return refNorm(refDense(wide, wideBias, v, math.Tanh)) }},
		"normalise, dense": {"Normalize Dense", nil, func(v []float64) []float64 { return refDense(wide, wideBias, refNorm(v), math.Tanh) }},
		"residual": {"Residual", nil, func(v []float64) []float64 {
			return plus(refDense(wide, nil, v, identity), refDense(residual, nil, v, identity))
		}},
		"residual of the same size": {"Square", nil, func(v []float64) []float64 { return plus(refDense(square, nil, v, relu), v) }},
		"all": {"Dense LayerNorm Dropout Dense Normalize", nil, func(v []float64) []float64 {
			return refNorm(refDense(back, backBias, refLayerNorm(refDense(wide, wideBias, v, math.Tanh), normWeight, normBias), gelu))
		}},
		"truncated": {"Dense LayerNorm", []Option{WithTruncateDim(4)}, func(v []float64) []float64 {
			return refLayerNorm(refDense(wide, wideBias, v, math.Tanh), normWeight, normBias)[:4]
		}},
		"truncated and longer":    {"Dense", []Option{WithTruncateDim(1)}, func(v []float64) []float64 { return refDense(wide, wideBias, v, math.Tanh)[:1] }},
		"truncated before":        {"Normalize", []Option{WithTruncateDim(4)}, func(v []float64) []float64 { return refNorm(v[:4]) }},
		"normalised by option":    {"Dense", []Option{WithNormalize()}, func(v []float64) []float64 { return refNorm(refDense(wide, wideBias, v, math.Tanh)) }},
		"both, normalised before": {"", []Option{WithNormalize(), WithTruncateDim(3)}, func(v []float64) []float64 { return refNorm(v[:3]) }},
	} {
		for version, prefix := range map[string]string{"old": "sentence_transformers.models", "new": "sentence_transformers.base.modules.any"} {
			t.Run(name+"/"+version, func(t *testing.T) {
				modules := []map[string]any{{"path": "", "type": prefix + ".Transformer"}, {"path": "1_Pooling", "type": prefix + ".Pooling"}}
				at := map[string]string{"Dropout": "9_Dropout", "LayerNorm": "3_LayerNorm", "Normalize": "5_Normalize", "Dense": "2_Dense", "Residual": "2_Residual", "Square": "2_Square"}
				for _, kind := range strings.Fields(c.modules) {
					typ := strings.NewReplacer("Residual", "Dense", "Square", "Dense").Replace(kind)
					modules = append(modules, map[string]any{"path": at[kind], "type": prefix + "." + typ})
					if kind == "Dense" {
						at["Dense"] = "4_Dense"
					}
				}
				list, _ := json.Marshal(modules)
				mine := mapsWith(files, "modules.json", string(list))
				model, err := openTiny(t, graph, mine, c.opts...)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, model, texts, func(text string) []float64 { return c.want(refPool("mean", m.tokens(text, 0), 0)) })
			})
		}
	}
}

func TestActivations(t *testing.T) {
	for name, want := range map[string]map[float64]float64{ // from torch
		"Identity":  {-2: -2, 3: 3},
		"Tanh":      {-1: -0.7615941559557649},
		"Sigmoid":   {0: 0.5, 2: 0.8807970779778823},
		"ReLU":      {-1: 0, 1: 1},
		"ReLU6":     {-1: 0, 5: 5, 7: 6},
		"LeakyReLU": {-1: -0.01, 2: 2},
		"ELU":       {-1: -0.6321205588285577, 2: 2},
		"GELU":      {-1: -0.15865525393145707, 1: 0.8413447460685429},
		"SiLU":      {1: 0.7310585786300049, -1: -0.2689414213699951},
		"Softplus":  {0: 0.6931471805599453, 30: 30},
		"Mish":      {1: 0.8650983882673103, -1: -0.3034014613741089},
	} {
		f := activations()[name]
		if f == nil {
			t.Errorf("%s is not there", name)
			continue
		}
		for x, y := range want {
			if got := f(x); math.Abs(got-y) > 1e-12 {
				t.Errorf("%s(%g) = %g, want %g", name, x, got, y)
			}
		}
	}
	if len(activations()) != 11 {
		t.Errorf("%d activations, tested are 11", len(activations()))
	}
}

func mapsWith(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
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
