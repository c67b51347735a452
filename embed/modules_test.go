package embed

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

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

// Padding before a text moves it to other positions, unless the model is told
// which they are.
func TestPaddingThatShifts(t *testing.T) {
	for _, c := range []struct {
		config, side string
		inputs       []string
		want         bool
	}{
		{`{"model_type": "bert", "max_position_embeddings": 64}`, "left", []string{inputIDs, inputMask}, true},
		{`{"model_type": "bert", "max_position_embeddings": 64}`, "left", []string{inputIDs, inputMask, inputPositions}, false},
		{`{"model_type": "bert", "max_position_embeddings": 64}`, "right", []string{inputIDs, inputMask}, false},
		{`{"model_type": "roberta", "max_position_embeddings": 64}`, "left", []string{inputIDs, inputMask}, false},
		{`{"model_type": "qwen3", "max_position_embeddings": 64}`, "left", []string{inputIDs, inputMask}, false},
	} {
		files := tinyFiles()
		files["config.json"] = c.config
		files["tokenizer_config.json"] = fmt.Sprintf(`{"padding_side": %q}`, c.side)
		m, err := openTiny(t, tinyGraph(onnx.Int64, c.inputs...), files)
		if err != nil {
			t.Fatal(err)
		}
		if m.BatchInvariant() != c.want {
			t.Errorf("%+v: one by one %t", c, !c.want)
		}
	}
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

func mapsWith(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}
