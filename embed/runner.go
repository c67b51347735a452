package embed

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	ort "github.com/yalue/onnxruntime_go"
)

// runner runs one batch at a time, in buffers that it keeps. Several runners
// may share a session.
type runner struct {
	session *ort.DynamicAdvancedSession
	signature
	padLeft bool
	feeds   []feed
	options *ort.RunOptions // made at the first run
	ids     [][]uint32      // of the texts of a batch, set before it runs

	out  []float32 // what the last run gave,
	raw  []byte    // if the model gives float32; else this
	wide []float32 // one text of raw
	seen int       // numbers of a text in out or raw
	spot []float32 // the text's vector, while it is made
	rest []float32 // and room for the next step
}

func newRunner(session *ort.DynamicAdvancedSession, s signature, t *transformer) *runner {
	r := &runner{session: session, signature: s, padLeft: t.padLeft}
	for _, in := range s.inputs {
		if in.int32 {
			r.feeds = append(r.feeds, newFeed[int32](in.name, t))
		} else {
			r.feeds = append(r.feeds, newFeed[int64](in.name, t))
		}
	}
	return r
}

// run runs the model on the batch in ids; what it gives is good until the next
// run.
func (r *runner) run(ctx context.Context) error {
	ids := r.ids
	width := r.widest(ids)
	var pins runtime.Pinner // ONNX Runtime keeps pointers into our buffers
	defer pins.Unpin()
	inputs, err := r.tensors(ids, width, &pins)
	defer free(inputs...)
	if err != nil {
		return err
	}
	shape := ort.NewShape(int64(len(ids)), int64(width), int64(r.dim))
	if r.rank == 2 {
		shape = ort.NewShape(int64(len(ids)), int64(r.dim))
	}
	r.seen = int(shape.FlattenedSize()) / len(ids)
	output, err := r.receive(shape, &pins)
	if err != nil {
		return err
	}
	defer free(output)
	return r.runUntil(ctx, inputs, []ort.Value{output})
}

// widest is the number of tokens that each text is padded to.
func (r *runner) widest(ids [][]uint32) int {
	width := max(r.width, 1) // a text without tokens is one of padding only
	for _, t := range ids {
		width = max(width, len(t))
	}
	return width
}

// receive makes the tensor that the model writes to, in our memory.
func (r *runner) receive(shape ort.Shape, pins *runtime.Pinner) (ort.Value, error) {
	n := int(shape.FlattenedSize())
	if r.widen == nil {
		r.out = grown(r.out, n)
		pins.Pin(&r.out[0])
		return ort.NewTensor(shape, r.out)
	}
	r.raw = grown(r.raw, n*r.bytes)
	pins.Pin(&r.raw[0])
	return ort.NewCustomDataTensor(shape, r.raw, r.typ)
}

// text gives what the model gave for a text of the last run, as float32: the
// vectors of its tokens without the padding, or its one vector. It is good
// until the next call.
func (r *runner) text(i int) []float32 {
	n := len(r.ids[i])
	from, to := i*r.seen, (i+1)*r.seen
	if r.rank == 3 {
		if r.padLeft {
			from = to - n*r.dim
		} else {
			to = from + n*r.dim
		}
	}
	if r.widen == nil {
		return r.out[from:to]
	}
	r.wide = grown(r.wide, to-from)
	for j := range r.wide {
		r.wide[j] = r.widen(r.raw[(from+j)*r.bytes:])
	}
	return r.wide
}

// runUntil stops the run when the context ends, and returns only when
// nothing uses the tensors any more.
func (r *runner) runUntil(ctx context.Context, inputs, outputs []ort.Value) error {
	if ctx.Done() == nil {
		return r.session.Run(inputs, outputs)
	}
	if r.options == nil {
		options, err := ort.NewRunOptions()
		if err != nil {
			return err
		}
		r.options = options
	}
	terminated := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(terminated)
		_ = r.options.Terminate() // else the run goes on to its end
	})
	err := r.session.RunWithOptions(inputs, outputs, r.options)
	if !stop() {
		<-terminated // it uses the options
		err = errors.Join(err, r.options.UnsetTerminate())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// close frees what the runner made.
func (r *runner) close() {
	if r.options != nil {
		free(r.options)
	}
}

// tensors makes the model's inputs. What it made must be destroyed even when
// there is an error.
func (r *runner) tensors(ids [][]uint32, width int, pins *runtime.Pinner) (inputs []ort.Value, err error) {
	for _, f := range r.feeds {
		v, err := f.tensor(ids, width, pins)
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
	if r.bytes == 2 { // the Go binding can't receive these without knowing their number
		return 0, errors.New("the model does not say how long its vectors are, and neither do embedding_dimension in the pooling's config.json or hidden_size in config.json")
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	texts := [][]uint32{ids}
	inputs, err := r.tensors(texts, r.widest(texts), &pins)
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
	if len(shape) != r.rank {
		return 0, fmt.Errorf("the model's output %s is of shape %v, and it says of rank %d", r.name, shape, r.rank)
	}
	return int(shape[len(shape)-1]), nil
}

// grown gives a slice of n, the old one where it is large enough.
func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
