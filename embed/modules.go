package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/millrace-go/millrace/internal/dense"
	"github.com/millrace-go/millrace/internal/safetensors"
)

// module is one line of modules.json: one step from text to vector.
type module struct {
	Path string `json:"path"`
	Type string `json:"type"`
}

// kind is the class without its Python package, which changed over time.
func (m module) kind() string { return m.Type[strings.LastIndexByte(m.Type, '.')+1:] }

const supportedModules = "Transformer, Pooling, Dense, LayerNorm, Normalize, Dropout"

// parseModules reads modules.json: a Transformer, then perhaps a Pooling, then
// any of the others.
func parseModules(data []byte) ([]module, error) {
	var modules []module
	if err := json.Unmarshal(data, &modules); err != nil {
		return nil, err
	}
	var kinds []string
	for i, m := range modules {
		kinds = append(kinds, m.kind())
		var inPlace bool
		switch m.kind() {
		case "Transformer":
			inPlace = i == 0
		case "Pooling":
			inPlace = i == 1
		case "Dense", "LayerNorm", "Normalize", "Dropout":
			inPlace = i > 0
		default:
			return nil, fmt.Errorf("the module %q of type %q is not supported; supported are %s", m.Path, m.Type, supportedModules)
		}
		if !inPlace {
			return nil, fmt.Errorf("the modules [%s] are not supported; supported are a Transformer, then perhaps a Pooling, then any of the others", strings.Join(kinds, " "))
		}
	}
	if len(modules) == 0 {
		return nil, errors.New("no modules; there must be a Transformer at least")
	}
	return modules, nil
}

// steps reads the modules that come after the pooling.
func (r reader) steps(modules []module) (steps []step, err error) {
	for _, m := range modules {
		var s step
		switch m.kind() {
		case "Dense":
			s, err = r.dense(m.Path)
		case "LayerNorm":
			s, err = r.layerNorm(m.Path)
		case "Normalize":
			s, err = r.normalise(m.Path)
		case "Dropout":
			continue // does nothing but in training
		}
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func (r reader) dense(at string) (step, error) {
	name := path.Join(at, "config.json")
	data, err := r.must(name)
	if err != nil {
		return nil, err
	}
	l, err := dense.Parse(data)
	if err != nil {
		return nil, r.wrong(name, err)
	}
	return denseStep{l}, r.weights(at, l.Read)
}

func (r reader) layerNorm(at string) (step, error) {
	name := path.Join(at, "config.json")
	data, err := r.must(name)
	if err != nil {
		return nil, err
	}
	var config struct {
		Dimension int `json:"dimension"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, r.wrong(name, err)
	}
	if config.Dimension <= 0 {
		return nil, r.wrong(name, fmt.Errorf("a dimension of %d", config.Dimension))
	}
	l := &layerNorm{}
	return l, r.weights(at, func(floats floatsOf) (err error) {
		if l.weight, err = floats("norm.weight", config.Dimension); err != nil {
			return err
		}
		l.bias, err = floats("norm.bias", config.Dimension)
		return err
	})
}

// normalise reads the module's configuration, which older versions did not
// write.
func (r reader) normalise(at string) (step, error) {
	name := path.Join(at, "config.json")
	if at == "" {
		return normalise{}, nil // config.json is the transformer's
	}
	var ends dense.Ends
	if _, err := r.may(name, &ends); err != nil {
		return nil, err
	}
	if err := ends.Check(); err != nil {
		return nil, r.wrong(name, err)
	}
	return normalise{}, nil
}

// floatsOf gives a tensor by name; it has the given shape.
type floatsOf = func(name string, shape ...int) ([]float32, error)

// weights lets a module read its weights.
func (r reader) weights(at string, read func(floatsOf) error) error {
	const file, pickled = "model.safetensors", "pytorch_model.bin"
	name := path.Join(at, file)
	if !r.has(name) && r.has(path.Join(at, pickled)) {
		return r.wrong(path.Join(at, pickled), fmt.Errorf("weights in Python's pickle format are not supported; sentence-transformers writes %s beside it with model.save(..., safe_serialization=True)", file))
	}
	local, err := filepath.Localize(name)
	if err != nil {
		return fmt.Errorf("%q is not a path inside the folder", name)
	}
	f, err := safetensors.Open(filepath.Join(r.dir, local))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := read(f.Shaped); err != nil {
		return r.wrong(name, err)
	}
	return nil
}
