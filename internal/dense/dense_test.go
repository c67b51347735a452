package dense

import (
	"math"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"in_features": 6, "out_features": 9, "bias": true, "activation_function": "torch.nn.modules.activation.Tanh"}`))
	f.Add([]byte(`{"in_features": 1, "out_features": 1, "activation_function": null}`))
	f.Add([]byte(`{"in_features": 1, "out_features": 1, "activation_function": 5}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err == nil && (d.In <= 0 || d.Out <= 0) {
			t.Errorf("%s: accepted as %v", data, d)
		}
	})
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
