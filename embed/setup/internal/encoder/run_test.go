//go:build cgo

package encoder

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/millrace-go/millrace/embed/internal/cache"
	"github.com/millrace-go/millrace/internal/cachedir"
)

// ownSeed is written out so that a failure can be run again.
const ownSeed = 20261126

// ONNX Runtime makes of a random model what the reference does: texts of
// several lengths, with padding on either side, long enough for all of MPNet's
// distances.
func TestEncodersAgainstReference(t *testing.T) {
	startRuntime(t)
	bert := strings.NewReplacer(`"max_position_embeddings": 8`, `"max_position_embeddings": 160`, `"num_hidden_layers": 1`, `"num_hidden_layers": 2`,
		`"vocab_size": 5`, `"vocab_size": 30`).Replace(tinyBERT)
	mpnet := strings.NewReplacer(`"bert"`, `"mpnet"`, `"pad_token_id": 0`, `"pad_token_id": 2, "relative_attention_num_buckets": 32`, "e-12", "e-5").Replace(bert)
	for name, c := range map[string]string{"bert": bert, "mpnet": mpnet} {
		t.Run(name, func(t *testing.T) {
			r := &reference{tensors: map[string][]float64{}}
			if err := json.Unmarshal([]byte(c), &r.config); err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(ownSeed, 1))
			shapes := shapesOf(r.config)
			names := make([]string, 0, len(shapes))
			for n := range shapes {
				names = append(names, n)
			}
			slices.Sort(names)
			numbers := map[string][]float32{}
			for _, n := range names {
				size := 1
				for _, d := range shapes[n] {
					size *= d
				}
				for range size {
					v := float32(rng.NormFloat64() / 2)
					if strings.HasSuffix(n, "LayerNorm.weight") {
						v++
					}
					numbers[n] = append(numbers[n], v)
					r.tensors[n] = append(r.tensors[n], float64(v))
				}
			}
			model := filepath.Join(t.TempDir(), "model.onnx")
			f, err := os.Create(model)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := Write(f, writeFolderOf(t, c, shapes, numbers)); err != nil {
				t.Fatal(err)
			}

			const length = 150
			ids, mask := make([]int64, 0, 4*length), make([]int64, 0, 4*length)
			for _, text := range []struct{ left, tokens int }{{0, length}, {0, 20}, {length - 33, 33}, {0, 1}} {
				for i := range length {
					id, m := r.PadID, int64(0)
					if i >= text.left && i < text.left+text.tokens {
						id, m = 3+rng.Int64N(r.Vocabulary-3), 1
					}
					ids, mask = append(ids, id), append(mask, m)
				}
			}
			got := runModel(t, model, ids, mask, length, int(r.Hidden), name == "bert")
			worst := 0.0
			for text := range len(ids) / length {
				want := r.forward(ids[text*length:][:length], mask[text*length:][:length])
				for i, row := range want {
					for k, v := range row {
						d := math.Abs(v - float64(got[(text*length+i)*len(row)+k]))
						if worst = max(worst, d); !(d < 1e-5) {
							t.Fatalf("text %d, token %d, number %d: %g, want %g (seed %d)", text, i, k, got[(text*length+i)*len(row)+k], v, ownSeed)
						}
					}
				}
			}
			t.Logf("largest difference %.2g", worst)
		})
	}
}

// shapesOf are the tensors of a config, as the model's type names them.
func shapesOf(c config) map[string][]int {
	h, inner := int(c.Hidden), int(c.Intermediate)
	shapes := map[string][]int{
		"embeddings.word_embeddings.weight":     {int(c.Vocabulary), h},
		"embeddings.position_embeddings.weight": {int(c.MaxPositions), h},
	}
	linear := func(name string, out, in int) {
		shapes[name+".weight"], shapes[name+".bias"] = []int{out, in}, []int{out}
	}
	norm := func(name string) { shapes[name+".weight"], shapes[name+".bias"] = []int{h}, []int{h} }
	norm("embeddings.LayerNorm")
	square, attention := []string{"self.query", "self.key", "self.value", "output.dense"}, "output.LayerNorm"
	if c.mpnet() {
		square, attention = []string{"attn.q", "attn.k", "attn.v", "attn.o"}, "LayerNorm"
		shapes["encoder.relative_attention_bias.weight"] = []int{c.RelativeBuckets, int(c.Heads)}
	} else {
		shapes["embeddings.token_type_embeddings.weight"] = []int{int(c.TokenTypes), h}
	}
	for l := range c.Layers {
		p := "encoder.layer." + strconv.Itoa(l) + "."
		for _, name := range square {
			linear(p+"attention."+name, h, h)
		}
		norm(p + "attention." + attention)
		linear(p+"intermediate.dense", inner, h)
		linear(p+"output.dense", h, inner)
		norm(p + "output.LayerNorm")
	}
	return shapes
}

func startRuntime(t *testing.T) {
	t.Helper()
	if ort.IsInitialized() {
		return
	}
	library := os.Getenv("ONNXRUNTIME_SHARED_LIBRARY_PATH")
	if library == "" {
		dir, err := cachedir.Dir()
		if err != nil {
			t.Fatal(err)
		}
		library = filepath.Join(dir, cache.Runtime(), cache.Library())
	}
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(); err != nil {
		t.Fatalf("%v: `go run ./embed/setup` installs ONNX Runtime", err)
	}
}

// runModel gives a model's hidden states for texts of one length.
func runModel(t *testing.T, model string, ids, mask []int64, length, hidden int, types bool) []float32 {
	t.Helper()
	names, data := []string{"input_ids", "attention_mask"}, [][]int64{ids, mask}
	if types {
		names, data = append(names, "token_type_ids"), append(data, make([]int64, len(ids)))
	}
	texts := int64(len(ids) / length)
	var inputs []ort.Value
	for _, d := range data {
		in, err := ort.NewTensor(ort.NewShape(texts, int64(length)), d)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = in.Destroy() }()
		inputs = append(inputs, in)
	}
	out, err := ort.NewEmptyTensor[float32](ort.NewShape(texts, int64(length), int64(hidden)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Destroy() }()
	session, err := ort.NewDynamicAdvancedSession(model, names, []string{"last_hidden_state"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Destroy() }()
	if err := session.Run(inputs, []ort.Value{out}); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(out.GetData())
}
