package encoder

import (
	"fmt"
	"os"
	"strings"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

// exported is a BERT encoder's ONNX file, as PyTorch exports it, as a source.
// Such a file has names for all weights but the linear layers' matrices: those
// are there transposed, in the order in which they are used.
type exported struct {
	*os.File
	named    map[string]onnx.Initializer
	matrices map[string]onnx.Initializer
}

// nameless begins the names that PyTorch makes up for the matrices.
const nameless = "onnx::MatMul_"

// openExported finds the weights in a file. Close it after use.
func openExported(name string) (*exported, error) {
	// Each layer's matrices, in their order of use.
	used := []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense"}
	all, err := onnx.Initializers(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	e := &exported{f, map[string]onnx.Initializer{}, map[string]onnx.Initializer{}}
	for _, t := range all {
		if !strings.HasPrefix(t.Name, nameless) {
			e.named[t.Name] = t
			continue
		}
		n := len(e.matrices)
		e.matrices[fmt.Sprintf("encoder.layer.%d.%s.weight", n/len(used), used[n%len(used)])] = t
	}
	return e, nil
}

func (e *exported) tensor(name string) (data []byte, found bool, err error) {
	t, found := e.named[name]
	m, isMatrix := e.matrices[name]
	switch {
	case isMatrix:
		t = m
	case !found:
		return nil, false, nil
	}
	if t.Type != onnx.Float32 || isMatrix && (len(t.Dims) != 2 || t.Size != t.Dims[0]*t.Dims[1]*width) {
		return nil, true, fmt.Errorf("tensor %s (%s) of type %d and shape %v has %d bytes: not float32 in one piece", name, t.Name, t.Type, t.Dims, t.Size)
	}
	data = make([]byte, t.Size)
	if _, err := e.ReadAt(data, t.At); err != nil {
		return nil, true, err
	}
	if isMatrix {
		data = transpose(data, int(t.Dims[0]), int(t.Dims[1]))
	}
	return data, true, nil
}
