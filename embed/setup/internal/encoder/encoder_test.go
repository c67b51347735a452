package encoder

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
	"github.com/millrace-go/millrace/internal/safetensors"
)

const tinyBERT = `{"model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 6,
	"layer_norm_eps": 1e-12, "pad_token_id": 0, "max_position_embeddings": 8, "vocab_size": 5, "type_vocab_size": 2, "hidden_act": "gelu"}`

// tinyWeights are the tensors of tinyBERT, by their names and shapes.
func tinyWeights() map[string][]int {
	shapes := map[string][]int{
		"embeddings.word_embeddings.weight":       {5, 4},
		"embeddings.position_embeddings.weight":   {8, 4},
		"embeddings.token_type_embeddings.weight": {2, 4},
	}
	linear := func(name string, out, in int) {
		shapes[name+".weight"], shapes[name+".bias"] = []int{out, in}, []int{out}
	}
	norm := func(name string) { shapes[name+".weight"], shapes[name+".bias"] = []int{4}, []int{4} }
	norm("embeddings.LayerNorm")
	for _, name := range []string{"self.query", "self.key", "self.value", "output.dense"} {
		linear("encoder.layer.0.attention."+name, 4, 4)
	}
	norm("encoder.layer.0.attention.output.LayerNorm")
	linear("encoder.layer.0.intermediate.dense", 6, 4)
	linear("encoder.layer.0.output.dense", 4, 6)
	norm("encoder.layer.0.output.LayerNorm")
	return shapes
}

// writeFolder writes a model folder whose weights count up.
func writeFolder(t *testing.T, config string, shapes map[string][]int) string {
	t.Helper()
	return writeFolderOf(t, config, shapes, nil)
}

// writeFolderOf writes a model folder with weights; those that are not given
// count up, as bits.
func writeFolderOf(t *testing.T, config string, shapes map[string][]int, numbers map[string][]float32) string {
	t.Helper()
	var data []byte
	header := map[string]any{}
	names := make([]string, 0, len(shapes))
	for name := range shapes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		n, from := 1, len(data)
		for _, d := range shapes[name] {
			n *= d
		}
		for i := range n {
			bits := uint32(len(data))
			if given := numbers[name]; given != nil {
				bits = math.Float32bits(given[i])
			}
			data = binary.LittleEndian.AppendUint32(data, bits)
		}
		header[name] = map[string]any{"dtype": "F32", "shape": shapes[name], "data_offsets": []int{from, len(data)}}
	}
	head, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)
	dir := t.TempDir()
	for name, content := range map[string][]byte{"config.json": []byte(config), "model.safetensors": append(file, data...)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The checksum was taken of what an independent program in Python wrote for the
// same folder. Those of the real models are in setup's table.
func TestWriteGivesTheSameBytes(t *testing.T) {
	const want = "1669989c862edc07f1bf1028aaa05b521b570ba63d99d6b83ddfdb796f871bb7"
	dir := writeFolder(t, tinyBERT, tinyWeights())
	var out bytes.Buffer
	if err := Write(&out, dir); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(out.Bytes())
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("sha256 %s, want %s", got, want)
	}
}

// What PyTorch exports: matrices are nameless, transposed and in order of use.
func TestRewriteGivesTheSameBytesAsWrite(t *testing.T) {
	dir := writeFolder(t, tinyBERT, tinyWeights())
	var want, got bytes.Buffer
	if err := Write(&want, dir); err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Open(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	export := func(shapes map[string][]int) string {
		g := &onnx.Graph{}
		add := func(as, name string, shape []int, turn bool) {
			dims := []int64{int64(shape[0])}
			if len(shape) == 2 {
				dims = append(dims, int64(shape[1]))
			}
			data, _, err := published{file}.tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			if turn {
				data = transpose(data, shape[0], shape[1])
				slices.Reverse(dims)
			}
			g.Weight(as, onnx.Float32, dims, func() ([]byte, error) { return data, nil })
		}
		for i, of := range []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense"} {
			name := "encoder.layer.0." + of + ".weight"
			add(fmt.Sprintf("onnx::MatMul_%d", 885+3*i), name, shapes[name], true)
			delete(shapes, name)
		}
		for name, shape := range shapes {
			add(name, name, shape, false)
		}
		model := filepath.Join(t.TempDir(), "exported.onnx")
		f, err := os.Create(model)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := g.WriteTo(f); err != nil {
			t.Fatal(err)
		}
		return model
	}
	if err := Rewrite(&got, dir, export(tinyWeights())); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Error("the bytes differ")
	}
	less := tinyWeights()
	delete(less, "encoder.layer.0.attention.self.key.bias")
	if err := Rewrite(&got, dir, export(less)); err == nil || !strings.Contains(err.Error(), "has no tensor encoder.layer.0.attention.self.key.bias") {
		t.Errorf("%v", err)
	}
	if err := Rewrite(&got, dir, filepath.Join(dir, "config.json")); err == nil || !strings.Contains(err.Error(), "is not a model") {
		t.Errorf("%v", err)
	}
}

func TestWriteSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, config, drop, want string
	}{
		{"another model", strings.Replace(tinyBERT, `"bert"`, `"gpt2"`, 1), "", `model_type "gpt2" is neither`},
		{"another activation", strings.Replace(tinyBERT, `"gelu"`, `"relu"`, 1), "", `hidden_act "relu"`},
		{"relative positions", strings.Replace(tinyBERT, `{`, `{"position_embedding_type": "relative_key",`, 1), "", `position_embedding_type "relative_key"`},
		{"heads", strings.Replace(tinyBERT, `"num_attention_heads": 2`, `"num_attention_heads": 3`, 1), "", "not a multiple"},
		{"broken", "{", "", "config.json: unexpected end"},
		{"missing", tinyBERT, "encoder.layer.0.attention.self.key.bias", "has no tensor encoder.layer.0.attention.self.key.bias"},
		{"short", strings.Replace(tinyBERT, `"vocab_size": 5`, `"vocab_size": 6`, 1), "", "word_emb of shape [6 4] has 80 bytes, want 96"},
	} {
		shapes := tinyWeights()
		delete(shapes, c.drop)
		err := Write(&bytes.Buffer{}, writeFolder(t, c.config, shapes))
		if err == nil || !strings.HasPrefix(err.Error(), "encoder: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// The first and last distance of each bucket, from the formula in the paper
// (Raffel et al. 2020, T5) for 32 buckets and 128 as the largest distance.
func TestBucket(t *testing.T) {
	for distance, want := range map[int]int{0: 0, -1: 1, -7: 7, -8: 8, -11: 8, -12: 9, -127: 15, -128: 15, -500: 15, 1: 17, 8: 24, 500: 31} {
		if got := bucket(distance, 32); got != want {
			t.Errorf("bucket(%d) = %d, want %d", distance, got, want)
		}
	}
}
