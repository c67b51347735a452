package embed

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	ort "github.com/yalue/onnxruntime_go"
)

// signature is what a model takes and gives.
type signature struct {
	inputs []input
	output string
	rank   int // of the output: 3 a vector for each token, 2 one for each text
	dim    int // of a vector; 0 when the model leaves it open
}

type input struct {
	name  string
	int32 bool // else int64
}

// The inputs that are known, by the names all exports use.
const (
	inputIDs       = "input_ids"
	inputMask      = "attention_mask"
	inputTypes     = "token_type_ids"
	inputPositions = "position_ids"
)

// readSignature looks into a model's file.
func readSignature(file string) (s signature, err error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return s, err
	}
	defer free(options)
	// This session is only looked at: optimising it would be most of its cost.
	if err := options.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll); err != nil {
		return s, err
	}
	inputs, outputs, err := ort.GetInputOutputInfoWithOptions(file, options)
	if err != nil {
		return s, err
	}
	for _, in := range inputs {
		if !slices.Contains([]string{inputIDs, inputMask, inputTypes, inputPositions}, in.Name) {
			return s, fmt.Errorf("the model wants an input %q, which is not supported", in.Name)
		}
		if in.DataType != ort.TensorElementDataTypeInt64 && in.DataType != ort.TensorElementDataTypeInt32 {
			return s, fmt.Errorf("the model's input %s is of type %s, which is not supported", in.Name, in.DataType)
		}
		s.inputs = append(s.inputs, input{in.Name, in.DataType == ort.TensorElementDataTypeInt32})
	}
	return s, s.chooseOutput(outputs)
}

// chooseOutput takes the sentence's vector where the model names it, else the
// tokens' vectors. Another output of rank 2 is often BERT's pooler, which is
// not what sentence-transformers takes.
func (s *signature) chooseOutput(outputs []ort.InputOutputInfo) error {
	at := slices.IndexFunc(outputs, func(o ort.InputOutputInfo) bool { return o.Name == "sentence_embedding" })
	if at < 0 {
		at = slices.IndexFunc(outputs, func(o ort.InputOutputInfo) bool { return len(o.Dimensions) == 3 })
	}
	if at < 0 {
		return errors.New("the model has neither an output sentence_embedding nor one of rank 3 with the tokens' vectors")
	}
	o := outputs[at]
	if o.DataType != ort.TensorElementDataTypeFloat {
		return fmt.Errorf("the model's output %s is of type %s, which is not supported", o.Name, o.DataType)
	}
	s.output, s.rank = o.Name, len(o.Dimensions)
	if s.rank != 2 && s.rank != 3 {
		return fmt.Errorf("the model's output %s is of rank %d, want 2 or 3", s.output, s.rank)
	}
	s.dim = int(max(o.Dimensions[s.rank-1], 0))
	return nil
}

// newSession loads the model for as many threads. A session that is not alone
// must not spin while it waits: the others need the processors.
func newSession(file string, s signature, threads int, alone bool) (*ort.DynamicAdvancedSession, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer free(options)
	err = errors.Join(options.SetIntraOpNumThreads(threads), options.SetInterOpNumThreads(1))
	if !alone {
		err = errors.Join(err, options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"))
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(s.inputs))
	for i, in := range s.inputs {
		names[i] = in.name
	}
	return ort.NewDynamicAdvancedSession(file, names, []string{s.output}, options)
}

// runner runs one batch at a time, in buffers that it keeps. Several runners
// may share a session.
type runner struct {
	session *ort.DynamicAdvancedSession
	signature
	padID int64

	feeds []feed
	out   []float32
}

func newRunner(session *ort.DynamicAdvancedSession, s signature, padID int64) *runner {
	r := &runner{session: session, signature: s, padID: padID}
	for _, in := range s.inputs {
		if in.int32 {
			r.feeds = append(r.feeds, &feedOf[int32]{name: in.name})
		} else {
			r.feeds = append(r.feeds, &feedOf[int64]{name: in.name})
		}
	}
	return r
}

// run runs the model on texts of the given tokens and returns its output, which
// is good until the next run, and the number of tokens each text was padded to.
func (r *runner) run(ctx context.Context, ids [][]uint32) (out []float32, width int, err error) {
	for _, t := range ids {
		width = max(width, len(t))
	}
	width = max(width, 1) // a text without tokens is one of padding only

	var pins runtime.Pinner // ONNX Runtime keeps pointers into our buffers
	defer pins.Unpin()
	inputs, err := r.tensors(ids, width, &pins)
	defer free(inputs...)
	if err != nil {
		return nil, 0, err
	}
	shape := ort.NewShape(int64(len(ids)), int64(width), int64(r.dim))
	if r.rank == 2 {
		shape = ort.NewShape(int64(len(ids)), int64(r.dim))
	}
	r.out = grown(r.out, int(shape.FlattenedSize()))
	pins.Pin(&r.out[0])
	output, err := ort.NewTensor(shape, r.out)
	if err != nil {
		return nil, 0, err
	}
	defer free(output)
	return r.out, width, r.runUntil(ctx, inputs, []ort.Value{output})
}

// runUntil stops the run when the context ends, and returns only when
// nothing uses the tensors any more.
func (r *runner) runUntil(ctx context.Context, inputs, outputs []ort.Value) error {
	options, err := ort.NewRunOptions()
	if err != nil {
		return err
	}
	defer free(options)
	terminated := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(terminated)
		_ = options.Terminate() // then the run goes on to its end
	})
	err = r.session.RunWithOptions(inputs, outputs, options)
	if !stop() {
		<-terminated // it uses the options
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// tensors makes the model's inputs. What it made must be destroyed even when
// there is an error.
func (r *runner) tensors(ids [][]uint32, width int, pins *runtime.Pinner) (inputs []ort.Value, err error) {
	for _, f := range r.feeds {
		v, err := f.tensor(ids, width, r.padID, pins)
		if err != nil {
			return inputs, err
		}
		inputs = append(inputs, v)
	}
	return inputs, nil
}

// free destroys what ONNX Runtime made. Its Destroy has nothing to report.
func free[T interface{ Destroy() error }](made ...T) {
	for _, m := range made {
		_ = m.Destroy()
	}
}

// probe finds the length of a vector by running the model once.
func (r *runner) probe(ids []uint32) (dim int, err error) {
	var pins runtime.Pinner
	defer pins.Unpin()
	inputs, err := r.tensors([][]uint32{ids}, max(len(ids), 1), &pins)
	defer free(inputs...)
	if err != nil {
		return 0, err
	}
	outputs := []ort.Value{nil} // ONNX Runtime makes it
	if err := r.session.Run(inputs, outputs); err != nil {
		return 0, err
	}
	defer free(outputs...)
	shape := outputs[0].GetShape()
	return int(shape[len(shape)-1]), nil
}

// grown gives a slice of n, the old one where it is large enough.
func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// feed makes one input of the model.
type feed interface {
	tensor(ids [][]uint32, width int, padID int64, pins *runtime.Pinner) (ort.Value, error)
}

type feedOf[T int32 | int64] struct {
	name string
	data []T
}

func (f *feedOf[T]) tensor(ids [][]uint32, width int, padID int64, pins *runtime.Pinner) (ort.Value, error) {
	f.data = grown(f.data, len(ids)*width)
	for i, tokens := range ids {
		row := f.data[i*width:][:width]
		clear(row)
		switch f.name {
		case inputIDs:
			for j := range row {
				row[j] = T(padID)
			}
			for j, id := range tokens {
				row[j] = T(id)
			}
		case inputMask:
			for j := range tokens {
				row[j] = 1
			}
		case inputPositions:
			for j := range row {
				row[j] = T(j)
			}
		}
	}
	pins.Pin(&f.data[0])
	return ort.NewTensor(ort.NewShape(int64(len(ids)), int64(width)), f.data)
}
