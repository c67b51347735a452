// Package dense is sentence-transformers' Dense module: what a model's folder,
// or a folder of its own, says about a layer of a neural network.
package dense

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// Layer is a matrix, perhaps a bias, an activation function, and perhaps what
// came in added to what goes out. It is safe for concurrent use.
type Layer struct {
	In, Out    int
	weight     []float32 // [out, in]
	bias       []float32 // nil: none
	name       string    // of the activation
	activation func(float64) float64
	skip       bool      // what came in is added
	residual   []float32 // [out, in], what came in goes through it first; nil: as it is
}

// Apply makes dst, of Out values, from v, of In values.
func (l *Layer) Apply(dst, v []float32) {
	for i := range dst {
		x := dot(l.weight[i*l.In:][:l.In], v)
		if l.bias != nil {
			x += l.bias[i]
		}
		y := float32(l.activation(float64(x)))
		switch {
		case l.residual != nil:
			y += dot(l.residual[i*l.In:][:l.In], v)
		case l.skip:
			y += v[i]
		}
		dst[i] = y
	}
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

// Identify writes to w, a hash, all that decides about the result.
func (l *Layer) Identify(w io.Writer) {
	fmt.Fprintln(w, "dense", l.In, l.Out, l.bias != nil, l.name, l.skip, l.residual != nil)
	for _, list := range [][]float32{l.weight, l.bias, l.residual} {
		_ = binary.Write(w, binary.LittleEndian, list) // a hash takes everything
	}
}

// config is config.json.
type config struct {
	In         int              `json:"in_features"`
	Out        int              `json:"out_features"`
	Bias       *bool            `json:"bias"`
	Activation *json.RawMessage `json:"activation_function"`
	Residual   bool             `json:"use_residual"`
	Ends
}

// Ends says what a module works on, where it is not the text's vector.
type Ends struct {
	Input  *string `json:"module_input_name"`
	Output *string `json:"module_output_name"`
}

// Check refuses anything but the text's vector.
func (e Ends) Check() error {
	const sentence = "sentence_embedding"
	if e.Input != nil && *e.Input != sentence {
		return fmt.Errorf("the module_input_name %q is not supported; supported is %s", *e.Input, sentence)
	}
	if e.Output != nil && *e.Output != sentence {
		return fmt.Errorf("the module_output_name %q is not supported; supported is %s", *e.Output, sentence)
	}
	return nil
}

// Parse reads config.json. The layer works after [Layer.Read].
func Parse(data []byte) (*Layer, error) {
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	const most = 1 << 20
	if c.In <= 0 || c.Out <= 0 || c.In > most || c.Out > most {
		return nil, fmt.Errorf("in_features %d, out_features %d: want numbers between 1 and %d", c.In, c.Out, most)
	}
	l := &Layer{In: c.In, Out: c.Out, name: "Tanh", skip: c.Residual}
	if c.Activation != nil {
		var path string
		if err := json.Unmarshal(*c.Activation, &path); err != nil {
			return nil, fmt.Errorf("activation_function: %w", err)
		}
		var torch bool
		if l.name, torch = strings.CutPrefix(path, "torch."); torch {
			l.name = l.name[strings.LastIndexByte(l.name, '.')+1:]
		}
	}
	known := activations()
	if l.activation = known[l.name]; l.activation == nil {
		return nil, fmt.Errorf("the activation_function %s is not supported; supported are torch's %s", *c.Activation, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	if c.Bias == nil || *c.Bias {
		l.bias = []float32{} // to be read
	}
	return l, nil
}

// Read reads the weights by their names in torch: floats gives a tensor of the
// given shape.
func (l *Layer) Read(floats func(name string, shape ...int) ([]float32, error)) (err error) {
	if l.weight, err = floats("linear.weight", l.Out, l.In); err != nil {
		return err
	}
	if l.bias != nil {
		if l.bias, err = floats("linear.bias", l.Out); err != nil {
			return err
		}
	}
	if l.skip && l.In != l.Out {
		l.residual, err = floats("residual.weight", l.Out, l.In)
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
