package sink

import (
	"errors"

	"github.com/millrace-go/millrace/stage"
)

// Tee writes each result to all of the sinks. A record is done when every one
// of them has it.
func Tee[T any](sinks ...stage.Sink[T]) stage.Sink[T] {
	var tee stage.Sink[T]
	base := make([]int, len(sinks)) // the number of each sink's first target
	for i, s := range sinks {
		base[i] = len(tee.Targets)
		tee.Targets = append(tee.Targets, s.Targets...)
	}
	tee.Encode = func(v T, in *stage.Raw, emit func(int, stage.Raw)) error {
		for i, s := range sinks {
			if s.Encode == nil {
				return errors.New("sink: Tee of a sink without Encode")
			}
			if err := s.Encode(v, in, func(target int, out stage.Raw) { emit(base[i]+target, out) }); err != nil {
				return err
			}
		}
		return nil
	}
	return tee
}

// Each writes every element of a result as a record of its own, in order:
// one input record becomes many, or none. It is done when all of them are
// written.
func Each[T any](s stage.Sink[T]) stage.Sink[[]T] {
	return stage.Sink[[]T]{
		Targets: s.Targets,
		Encode: func(vs []T, in *stage.Raw, emit func(int, stage.Raw)) error {
			for _, v := range vs {
				if err := s.Encode(v, in, emit); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// As makes a sink of U one of T, so that a [Tee] can feed sinks of different
// types.
func As[T, U any](s stage.Sink[U], convert func(T) U) stage.Sink[T] {
	return stage.Sink[T]{
		Targets: s.Targets,
		Encode: func(v T, in *stage.Raw, emit func(int, stage.Raw)) error {
			return s.Encode(convert(v), in, emit)
		},
	}
}

// FromRecord lets the result itself say its key, headers and time; what it
// leaves out is not taken from the input record: a nil Key is no key. A
// Record.Topic that is set, and is not the one the input was read from, is
// written to instead of the sink's topic. (A record that is passed on still
// bears the topic it came from, and must not go back there.)
func FromRecord[T any](s stage.Sink[T]) stage.Sink[stage.Record[T]] {
	return stage.Sink[stage.Record[T]]{
		Targets: s.Targets,
		Encode: func(r stage.Record[T], in *stage.Raw, emit func(int, stage.Raw)) error {
			from := r.Raw
			from.Topic, from.Partition, from.Offset = in.Topic, in.Partition, in.Offset
			return s.Encode(r.Value, &from, func(target int, out stage.Raw) {
				if r.Topic != "" && r.Topic != in.Topic {
					out.Topic = r.Topic
				}
				emit(target, out)
			})
		},
	}
}
