// Package encoder writes the ONNX model of a BERT or MPNet encoder from its
// weights: config.json of a model folder, and model.safetensors in it or another
// ONNX file.
//
// The model's inputs are input_ids, attention_mask and, for BERT,
// token_type_ids, int64 of shape [batch, sequence]; its output is
// last_hidden_state, float32 of shape [batch, sequence, hidden]. The same
// weights give the same bytes, so that the result can be checked by sha256.
package encoder

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/millrace-go/millrace/embed/internal/onnx"
	"github.com/millrace-go/millrace/internal/safetensors"
)

// config is what is needed of config.json.
type config struct {
	ModelType       string  `json:"model_type"`
	Hidden          int64   `json:"hidden_size"`
	Layers          int     `json:"num_hidden_layers"`
	Heads           int64   `json:"num_attention_heads"`
	Intermediate    int64   `json:"intermediate_size"`
	Epsilon         float64 `json:"layer_norm_eps"`
	PadID           int64   `json:"pad_token_id"`
	MaxPositions    int64   `json:"max_position_embeddings"`
	Vocabulary      int64   `json:"vocab_size"`
	TokenTypes      int64   `json:"type_vocab_size"`
	Activation      string  `json:"hidden_act"`
	PositionType    string  `json:"position_embedding_type"`
	RelativeBuckets int     `json:"relative_attention_num_buckets"`
}

func (c *config) mpnet() bool { return c.ModelType == "mpnet" }

func (c *config) check() error {
	switch {
	case c.ModelType != "bert" && c.ModelType != "mpnet":
		return fmt.Errorf("model_type %q is neither bert nor mpnet", c.ModelType)
	case c.Activation != "gelu":
		return fmt.Errorf("hidden_act %q is not gelu", c.Activation)
	case c.PositionType != "" && c.PositionType != "absolute":
		return fmt.Errorf("position_embedding_type %q is not absolute", c.PositionType)
	case c.Hidden <= 0 || c.Heads <= 0 || c.Hidden%c.Heads != 0:
		return fmt.Errorf("hidden_size %d is not a multiple of num_attention_heads %d", c.Hidden, c.Heads)
	}
	return nil
}

// Write writes the ONNX model of the folder's encoder to w, from its
// config.json and model.safetensors.
func Write(w io.Writer, folder string) error {
	file, err := safetensors.Open(filepath.Join(folder, "model.safetensors"))
	if err != nil {
		return fmt.Errorf("encoder: %w", err)
	}
	defer file.Close()
	return write(w, folder, published{file})
}

// Rewrite writes the same bytes as [Write], but takes the weights from model,
// an ONNX file that PyTorch exported of the same BERT encoder.
func Rewrite(w io.Writer, folder, model string) error {
	file, err := openExported(model)
	if err != nil {
		return fmt.Errorf("encoder: %w", err)
	}
	defer file.Close()
	return write(w, folder, file)
}

func write(w io.Writer, folder string, from source) error {
	raw, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err != nil {
		return fmt.Errorf("encoder: %w", err)
	}
	b := &builder{Graph: &onnx.Graph{}}
	if err := json.Unmarshal(raw, &b.config); err != nil {
		return fmt.Errorf("encoder: config.json: %w", err)
	}
	if err := b.check(); err != nil {
		return fmt.Errorf("encoder: config.json: %w", err)
	}
	b.weights = weights{from, b.ModelType}
	b.build()
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("encoder: %w", err)
	}
	return nil
}

// builder adds the encoder's nodes to a graph. The order of the calls is part
// of the result: it decides the bytes.
type builder struct {
	*onnx.Graph
	config
	weights weights

	zero, scalar0, scalar1, scalar2 string
	shape5, shape3, scale, bias     string // of attention
	half, one, sqrt2                string // of GELU
}

type ins = []string

func (b *builder) build() {
	b.Name, b.Producer = b.ModelType, "st_onnx.py" // the name under which the checksums were taken
	b.zero, b.scalar0, b.scalar1 = b.Ints("c0", 0), b.Int("s0", 0), b.Int("s1", 1)

	x := b.embeddings()
	b.half, b.one = b.Float("half", 0.5), b.Float("onef", 1)
	b.sqrt2 = b.Float("rt2", math.Sqrt2)
	for l := range b.Layers {
		out := fmt.Sprintf("l%d_n2", l)
		if l == b.Layers-1 {
			out = "last_hidden_state"
		}
		x = b.layer(l, x, out)
	}

	b.Input("input_ids", onnx.Int64, "batch", "sequence")
	b.Input("attention_mask", onnx.Int64, "batch", "sequence")
	if !b.mpnet() {
		b.Input("token_type_ids", onnx.Int64, "batch", "sequence")
	}
	b.Output("last_hidden_state", onnx.Float32, "batch", "sequence", int(b.Hidden))
}

// embeddings adds the sum of word, position and token type embeddings, and
// what every layer's attention needs.
func (b *builder) embeddings() string {
	var one, middle, pad string
	reach := b.MaxPositions - 1 // the largest distance between two positions
	if b.mpnet() {
		one, middle, pad = b.Ints("c1", 1), b.Int("sR", reach), b.Int("pad", b.PadID)
	}
	words := b.Node("Gather", "we", ins{b.table("word_emb", "embeddings.word_embeddings.weight", b.Vocabulary), "input_ids"})
	length := b.Node("Gather", "S", ins{b.Node("Shape", "shape", ins{"input_ids"}), b.scalar1})
	positions := b.Node("Range", "range", ins{b.scalar0, length, b.scalar1})

	var ids string
	if b.mpnet() { // counts the tokens that are not padding, from the padding's id on
		present := b.Node("Cast", "not_pad_i", ins{b.Node("Not", "not_pad", ins{b.Node("Equal", "is_pad", ins{"input_ids", pad})})}, onnx.Attr{Name: "to", Value: int(onnx.Int64)})
		ids = b.Node("Add", "position_ids", ins{b.Node("Mul", "cum_m", ins{b.Node("CumSum", "cum", ins{present, b.scalar1}), present}), pad})
	} else {
		ids = b.Node("Unsqueeze", "position_ids", ins{positions, b.zero})
		types := b.Node("Gather", "te", ins{b.table("type_emb", "embeddings.token_type_embeddings.weight", b.TokenTypes), "token_type_ids"})
		words = b.Node("Add", "wte", ins{words, types})
	}
	x := b.Node("Add", "emb", ins{words, b.Node("Gather", "pe", ins{b.table("pos_emb", "embeddings.position_embeddings.weight", b.MaxPositions), ids})})
	x = b.norm("h0", x, "embeddings.LayerNorm")

	var relative string
	if b.mpnet() {
		index := b.Node("Add", "rel_idx", ins{b.Node("Sub", "rel", ins{b.Node("Unsqueeze", "key", ins{positions, b.zero}), b.Node("Unsqueeze", "query", ins{positions, one})}), middle})
		table := b.Weight("rel_table", onnx.Float32, []int64{b.Heads, 2*reach + 1}, func() ([]byte, error) { return b.relativeBias(int(reach)) })
		relative = b.Node("Unsqueeze", "pos_bias", ins{b.Node("Gather", "pos_bias3", ins{table, index}, onnx.Attr{Name: "axis", Value: 1}), b.zero})
	}
	mask := b.Node("Cast", "mask_f", ins{"attention_mask"}, onnx.Attr{Name: "to", Value: int(onnx.Float32)})
	mask = b.Node("Mul", "mask_neg", ins{b.Node("Sub", "inv", ins{b.Float("f1", 1), mask}), b.Float("fmin", -math.MaxFloat32)})
	b.bias = b.Node("Unsqueeze", "mask4", ins{mask, b.Ints("c12", 1, 2)})
	if b.mpnet() {
		b.bias = b.Node("Add", "bias", ins{relative, b.bias})
	}
	dim := b.Hidden / b.Heads
	b.shape5, b.shape3 = b.Ints("shp5", 0, 0, 3, b.Heads, dim), b.Ints("shp3", 0, 0, b.Hidden)
	b.scalar2 = b.Int("s2", 2)
	b.scale = b.Float("scale", float32(1/math.Sqrt(float64(dim))))
	return x
}

// layer adds one layer of the encoder: attention, then the feed-forward part,
// each with its residual and normalisation.
func (b *builder) layer(l int, x, output string) string {
	p := fmt.Sprintf("encoder.layer.%d.", l)
	q := func(name string) string { return fmt.Sprintf("l%d_%s", l, name) }
	query, key, value := p+"attention.self.query", p+"attention.self.key", p+"attention.self.value"
	dense, norm := p+"attention.output.dense", p+"attention.output.LayerNorm"
	if b.mpnet() {
		query, key, value = p+"attention.attn.q", p+"attention.attn.k", p+"attention.attn.v"
		dense, norm = p+"attention.attn.o", p+"attention.LayerNorm"
	}

	// One multiplication gives queries, keys and values side by side.
	h := b.Hidden
	w := b.Weight(p+"qkv.T", onnx.Float32, []int64{h, 3 * h}, func() ([]byte, error) {
		return b.weights.sideBySide(int(h), query+".weight", key+".weight", value+".weight")
	})
	bias := b.Weight(p+"qkv.bias", onnx.Float32, []int64{3 * h}, func() ([]byte, error) {
		return b.weights.joined(query+".bias", key+".bias", value+".bias")
	})
	y := b.Node("Add", q("qkv"), ins{b.Node("MatMul", q("qkv0"), ins{x, w}), bias})
	y = b.Node("Transpose", q("qkvT"), ins{b.Node("Reshape", q("qkv5"), ins{y, b.shape5})}, perm(2, 0, 3, 1, 4))
	axis0 := onnx.Attr{Name: "axis", Value: 0}
	qs := b.Node("Gather", q("q"), ins{y, b.scalar0}, axis0)
	ks := b.Node("Gather", q("k"), ins{y, b.scalar1}, axis0)
	vs := b.Node("Gather", q("v"), ins{y, b.scalar2}, axis0)
	kt := b.Node("Transpose", q("kT"), ins{ks}, perm(0, 1, 3, 2))
	y = b.Node("Add", q("sc2"), ins{b.Node("Mul", q("sc1"), ins{b.Node("MatMul", q("sc0"), ins{qs, kt}), b.scale}), b.bias})
	y = b.Node("MatMul", q("ctx4"), ins{b.Node("Softmax", q("prob"), ins{y}, onnx.Attr{Name: "axis", Value: -1}), vs})
	y = b.Node("Reshape", q("ctx"), ins{b.Node("Transpose", q("ctxT"), ins{y}, perm(0, 2, 1, 3)), b.shape3})
	y = b.linear(q("o"), q("o0"), y, dense, h, h)
	x = b.norm(q("n1"), b.Node("Add", q("r1"), ins{y, x}), norm)

	// The feed-forward part, with GELU by the error function. Its bias comes
	// before its weight in the file.
	inner := b.vector(p+"intermediate.dense.bias", b.Intermediate)
	y = b.Node("Add", q("i"), ins{b.Node("MatMul", q("i0"), ins{x, b.matrix(p+"intermediate.dense", h, b.Intermediate)}), inner})
	g := b.Node("Add", q("g2"), ins{b.Node("Erf", q("g1"), ins{b.Node("Div", q("g0"), ins{y, b.sqrt2})}), b.one})
	y = b.Node("Mul", q("g4"), ins{b.Node("Mul", q("g3"), ins{y, g}), b.half})
	y = b.linear(q("f"), q("f0"), y, p+"output.dense", b.Intermediate, h)
	return b.norm(output, b.Node("Add", q("r2"), ins{y, x}), p+"output.LayerNorm")
}

func perm(axes ...int) onnx.Attr { return onnx.Attr{Name: "perm", Value: axes} }

func (b *builder) linear(sum, product, x, name string, in, out int64) string {
	y := b.Node("MatMul", product, ins{x, b.matrix(name, in, out)})
	return b.Node("Add", sum, ins{y, b.vector(name+".bias", out)})
}

func (b *builder) norm(output, x, name string) string {
	weight, bias := b.vector(name+".weight", b.Hidden), b.vector(name+".bias", b.Hidden)
	return b.Node("LayerNormalization", output, ins{x, weight, bias},
		onnx.Attr{Name: "axis", Value: -1}, onnx.Attr{Name: "epsilon", Value: float32(b.Epsilon)})
}

func (b *builder) vector(name string, n int64) string {
	return b.Weight(name, onnx.Float32, []int64{n}, func() ([]byte, error) { return b.weights.bytes(name) })
}

func (b *builder) table(name, tensor string, rows int64) string {
	return b.Weight(name, onnx.Float32, []int64{rows, b.Hidden}, func() ([]byte, error) { return b.weights.bytes(tensor) })
}

func (b *builder) matrix(name string, in, out int64) string {
	return b.Weight(name+".weight.T", onnx.Float32, []int64{in, out}, func() ([]byte, error) {
		return b.weights.transposed(name+".weight", int(out), int(in))
	})
}
