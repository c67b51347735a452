package stage

import (
	"context"
	"errors"
)

// outcome is what a stage's typed edge made of one record.
type outcome struct {
	out   []Raw
	err   error
	step  Step
	batch int // err is of a batch of so many, and may be another record's
}

// processFunc takes records through decode, transform and encode, and returns
// results, filled: results[i] belongs to record i. It never panics.
type processFunc func(ctx context.Context, recs []*Raw, results []outcome) []outcome

// process is the typed edge of the stage: all that the engine needs to know
// of In and Out.
func (s *Stage[In, Out]) process() processFunc {
	return func(ctx context.Context, recs []*Raw, results []outcome) []outcome {
		in := make([]In, 0, len(recs))
		at := make([]int, 0, len(recs)) // in[j] is of recs[at[j]]
		for i, r := range recs {
			v, err := s.decode(r)
			if err != nil {
				results[i] = outcome{err: Permanent(err), step: StepDecode, batch: 1}
				continue
			}
			in = append(in, v)
			at = append(at, i)
		}
		if len(in) == 0 {
			return results
		}

		out, err := s.transform(ctx, in)
		made := outputs{all: make([]Raw, 0, len(in))} // mostly one for each
		fails, err := asBatch(len(in), len(out), err)
		for j, i := range at {
			if err != nil {
				results[i] = outcome{err: err, step: StepTransform, batch: len(in)}
				continue
			}
			if fails != nil && fails.Errs[j] != nil {
				results[i] = outcome{err: fails.Errs[j], step: StepTransform, batch: 1}
				continue
			}
			o, err := s.encode(&made, out[j], recs[i])
			if err != nil {
				results[i] = outcome{err: Permanent(err), step: StepEncode, batch: 1}
				if errors.Is(err, ErrSkip) {
					results[i].err = ErrSkip
				}
				continue
			}
			results[i] = outcome{out: o}
		}
		return results
	}
}

func (s *Stage[In, Out]) decode(r *Raw) (v In, err error) {
	defer recoverTo(&err)
	return s.Source.Decode(r)
}

func (s *Stage[In, Out]) transform(ctx context.Context, in []In) (out []Out, err error) {
	defer recoverTo(&err)
	return s.Transform.Transform(ctx, in)
}

func (s *Stage[In, Out]) encode(made *outputs, v Out, in *Raw) (out []Raw, err error) {
	defer recoverTo(&err)
	if s.Key != nil {
		withKey := *in
		withKey.Key = s.Key(v)
		in = &withKey
	}
	return encodeTo(made, s.Sink, 0, v, in)
}

// outputs collects what sinks write, of many records in one piece of memory:
// those of one batch lie one behind the other. The zero value is ready.
type outputs struct {
	all  []Raw
	base int // number of the sink's first target
	emit func(target int, raw Raw)
}

// encodeTo gives what a sink writes for v; its first target is number base.
func encodeTo[T any](made *outputs, to Sink[T], base int, v T, in *Raw) ([]Raw, error) {
	if made.emit == nil {
		made.emit = func(target int, raw Raw) {
			raw.target = int32(made.base + target)
			made.all = append(made.all, raw)
		}
	}
	made.base = base
	from := len(made.all)
	err := to.Encode(v, in, made.emit)
	return made.all[from:], err
}
