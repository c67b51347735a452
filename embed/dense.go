package embed

import (
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"math"
	"slices"
	"strings"
)

// dense is sentence-transformers' Dense module: a matrix, perhaps a bias, an
// activation function, and perhaps what came in added to what goes out.
type dense struct {
	in, out    int
	weight     []float32 // [out, in]
	bias       []float32 // nil: none
	name       string    // of the activation
	activation func(float64) float64
	skip       bool      // what came in is added
	residual   []float32 // [out, in], what came in goes through it first; nil: as it is
}

func (d *dense) size(in int) (int, error) {
	if in != d.in {
		return 0, fmt.Errorf("a Dense module of in_features %d cannot take a vector of %d", d.in, in)
	}
	return d.out, nil
}

func (d *dense) apply(v, spare []float32) (out, rest []float32) {
	out = spare[:d.out]
	for i := range out {
		x := dot(d.weight[i*d.in:][:d.in], v)
		if d.bias != nil {
			x += d.bias[i]
		}
		y := float32(d.activation(float64(x)))
		switch {
		case d.residual != nil:
			y += dot(d.residual[i*d.in:][:d.in], v)
		case d.skip:
			y += v[i]
		}
		out[i] = y
	}
	return out, v[:cap(v)]
}

// dot sums in four places at once: the processor need not wait for each sum,
// and less is lost by rounding.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func (d *dense) identify(h hash.Hash) {
	fmt.Fprintln(h, "dense", d.in, d.out, d.bias != nil, d.name, d.skip, d.residual != nil)
	hashFloats(h, d.weight, d.bias, d.residual)
}

// denseConfig is config.json of a Dense module.
type denseConfig struct {
	In         int              `json:"in_features"`
	Out        int              `json:"out_features"`
	Bias       *bool            `json:"bias"`
	Activation *json.RawMessage `json:"activation_function"`
	Residual   bool             `json:"use_residual"`
	moduleEnds
}

// moduleEnds says what a module works on, where it is not the text's vector.
type moduleEnds struct {
	Input  *string `json:"module_input_name"`
	Output *string `json:"module_output_name"`
}

func (e moduleEnds) check() error {
	const sentence = "sentence_embedding"
	if e.Input != nil && *e.Input != sentence {
		return fmt.Errorf("the module_input_name %q is not supported; supported is %s", *e.Input, sentence)
	}
	if e.Output != nil && *e.Output != sentence {
		return fmt.Errorf("the module_output_name %q is not supported; supported is %s", *e.Output, sentence)
	}
	return nil
}

func parseDense(data []byte) (*dense, error) {
	var c denseConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	const most = 1 << 20
	if c.In <= 0 || c.Out <= 0 || c.In > most || c.Out > most {
		return nil, fmt.Errorf("in_features %d, out_features %d: want numbers between 1 and %d", c.In, c.Out, most)
	}
	d := &dense{in: c.In, out: c.Out, name: "Tanh", skip: c.Residual}
	if c.Activation != nil {
		var path string
		if err := json.Unmarshal(*c.Activation, &path); err != nil {
			return nil, fmt.Errorf("activation_function: %w", err)
		}
		var torch bool
		if d.name, torch = strings.CutPrefix(path, "torch."); torch {
			d.name = d.name[strings.LastIndexByte(d.name, '.')+1:]
		}
	}
	known := activations()
	if d.activation = known[d.name]; d.activation == nil {
		return nil, fmt.Errorf("the activation_function %s is not supported; supported are torch's %s", *c.Activation, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	if c.Bias == nil || *c.Bias {
		d.bias = []float32{} // to be read
	}
	return d, nil
}

// read reads the module's weights by their names in torch.
func (d *dense) read(floats func(name string, shape ...int) ([]float32, error)) (err error) {
	if d.weight, err = floats("linear.weight", d.out, d.in); err != nil {
		return err
	}
	if d.bias != nil {
		if d.bias, err = floats("linear.bias", d.out); err != nil {
			return err
		}
	}
	if d.skip && d.in != d.out {
		d.residual, err = floats("residual.weight", d.out, d.in)
	}
	return err
}

// activations are torch's classes, with their default arguments.
func activations() map[string]func(float64) float64 {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	softplus := func(x float64) float64 {
		if x > 20 {
			return x
		}
		return math.Log1p(math.Exp(x))
	}
	return map[string]func(float64) float64{
		"Identity": func(x float64) float64 { return x },
		"Tanh":     math.Tanh,
		"Sigmoid":  sigmoid,
		"ReLU":     func(x float64) float64 { return max(x, 0) },
		"ReLU6":    func(x float64) float64 { return min(max(x, 0), 6) },
		"LeakyReLU": func(x float64) float64 {
			if x < 0 {
				return x * 0.01
			}
			return x
		},
		"ELU": func(x float64) float64 {
			if x < 0 {
				return math.Expm1(x)
			}
			return x
		},
		"GELU":     func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) },
		"SiLU":     func(x float64) float64 { return x * sigmoid(x) },
		"Softplus": softplus,
		"Mish":     func(x float64) float64 { return x * math.Tanh(softplus(x)) },
	}
}
