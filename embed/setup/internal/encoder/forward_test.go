//go:build cgo

package encoder

import (
	"math"
	"math/bits"
)

// reference computes what an encoder is defined to do, in float64 and one
// number after the other: a check of the graphs that shares no code with them.
type reference struct {
	config
	tensors map[string][]float64
}

// forward gives the hidden states of one text, token by token. Tokens of the
// padding's id take no place; those whose mask is 0 are not attended to.
func (r *reference) forward(ids, mask []int64) [][]float64 {
	h := int(r.Hidden)
	row := func(table string, n int64) []float64 { return r.tensors[table][int(n)*h:][:h] }
	x := make([][]float64, len(ids))
	place := r.PadID
	for t, id := range ids {
		x[t] = make([]float64, h)
		at := int64(t)
		if r.ModelType == "mpnet" {
			at = r.PadID
			if id != r.PadID {
				place++
				at = place
			}
		} else {
			add(x[t], row("embeddings.token_type_embeddings.weight", 0))
		}
		add(x[t], row("embeddings.word_embeddings.weight", id))
		add(x[t], row("embeddings.position_embeddings.weight", at))
		r.norm(x[t], "embeddings.LayerNorm")
	}
	for l := range r.Layers {
		p := "encoder.layer." + string(rune('0'+l)) + "."
		names := [5]string{p + "attention.self.query", p + "attention.self.key", p + "attention.self.value", p + "attention.output.dense", p + "attention.output.LayerNorm"}
		if r.ModelType == "mpnet" {
			names = [5]string{p + "attention.attn.q", p + "attention.attn.k", p + "attention.attn.v", p + "attention.attn.o", p + "attention.LayerNorm"}
		}
		attended := r.attend(x, mask, names)
		for t := range x {
			y := r.linear(attended[t], names[3])
			add(y, x[t])
			r.norm(y, names[4])
			inner := r.linear(y, p+"intermediate.dense")
			for i, v := range inner {
				inner[i] = v * (1 + math.Erf(v/math.Sqrt2)) / 2
			}
			x[t] = r.linear(inner, p+"output.dense")
			add(x[t], y)
			r.norm(x[t], p+"output.LayerNorm")
		}
	}
	return x
}

func (r *reference) attend(x [][]float64, mask []int64, names [5]string) [][]float64 {
	heads, dim := int(r.Heads), int(r.Hidden/r.Heads)
	var q, k, v, out [][]float64
	for _, row := range x {
		q, k, v = append(q, r.linear(row, names[0])), append(k, r.linear(row, names[1])), append(v, r.linear(row, names[2]))
	}
	for t := range x {
		sum := make([]float64, len(x[t]))
		for head := range heads {
			from := head * dim
			weights, total := make([]float64, len(x)), 0.0
			for s := range x {
				if mask[s] == 0 {
					continue
				}
				score := 0.0
				for i := range dim {
					score += q[t][from+i] * k[s][from+i]
				}
				score /= math.Sqrt(float64(dim))
				if r.ModelType == "mpnet" {
					score += r.tensors["encoder.relative_attention_bias.weight"][bucketOf(s-t)*heads+head]
				}
				weights[s] = math.Exp(score)
				total += weights[s]
			}
			for s, w := range weights {
				for i := range dim {
					sum[from+i] += w / total * v[s][from+i]
				}
			}
		}
		out = append(out, sum)
	}
	return out
}

// bucketOf is the bucket of 32 of a key so far behind its query, in whole
// numbers: above 8 there are two buckets for each doubling of the distance.
func bucketOf(behind int) int {
	first, n := 0, -behind
	if n < 0 {
		first, n = 16, -n
	}
	if n >= 8 {
		n = min(15, 8+bits.Len(uint(n*n/64))-1)
	}
	return first + n
}

func (r *reference) linear(x []float64, name string) []float64 {
	w, out := r.tensors[name+".weight"], append([]float64(nil), r.tensors[name+".bias"]...)
	for o := range out {
		for i, v := range x {
			out[o] += w[o*len(x)+i] * v
		}
	}
	return out
}

func (r *reference) norm(x []float64, name string) {
	mean, square := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		square += (v - mean) * (v - mean) / float64(len(x))
	}
	for i, v := range x {
		x[i] = (v-mean)/math.Sqrt(square+r.Epsilon)*r.tensors[name+".weight"][i] + r.tensors[name+".bias"][i]
	}
}

func add(to, x []float64) {
	for i, v := range x {
		to[i] += v
	}
}
