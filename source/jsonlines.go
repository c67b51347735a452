package source

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/millrace-go/millrace/stage"
)

// JSONLines reads a JSON value a line and ends at the end of r. Empty lines
// are passed over. name stands for the topic in errors and dead letters, and
// the offset is the line's number, from 1. A line that is no JSON of a T is a
// dead letter. It cannot be committed: each run starts where r stands.
//
// r is read in a goroutine, a few hundred lines ahead of the stage. If it
// blocks for ever, as a terminal does, that goroutine stays behind when the
// stage stops.
func JSONLines[T any](r io.Reader, name string) stage.Source[T] {
	codec := stage.JSON[T]()
	return stage.Source[T]{
		Open: func(context.Context, stage.Env) (stage.Reader, error) {
			l := &lineReader{lane: newLocalLane(name), lines: make(chan stage.Raw, 256), closed: make(chan struct{})}
			go l.scan(bufio.NewReaderSize(r, 64<<10))
			return l, nil
		},
		Decode: func(r *stage.Raw) (T, error) { return codec.Decode(r.Value) },
	}
}

type lineReader struct {
	lane   *localLane
	lines  chan stage.Raw // closed at the end
	err    error          // why there was an end; read after lines is closed
	closed chan struct{}
}

// scan reads lines of any length: a limit would lose what is behind it.
func (l *lineReader) scan(r *bufio.Reader) {
	defer close(l.lines)
	for n := int64(1); ; n++ {
		line, err := r.ReadBytes('\n')
		if line := bytes.TrimSpace(line); len(line) > 0 {
			select {
			case l.lines <- stage.Raw{Topic: l.lane.name, Offset: n, Value: line}:
			case <-l.closed:
				return
			}
		}
		if err != nil {
			if err != io.EOF {
				l.err = fmt.Errorf("source: %s, line %d: %w", l.lane.name, n, err)
			}
			return
		}
	}
}

func (l *lineReader) Read(ctx context.Context) (stage.Batch, error) {
	select {
	case r, ok := <-l.lines:
		if !ok {
			if l.err != nil {
				return stage.Batch{}, l.err
			}
			return stage.Batch{}, io.EOF
		}
		b := stage.Batch{Lane: l.lane, Records: []stage.Raw{r}}
		for {
			select {
			case r, ok := <-l.lines:
				if ok {
					b.Records = append(b.Records, r)
					continue
				}
			default:
			}
			return b, nil
		}
	case <-ctx.Done():
		return stage.Batch{}, ctx.Err()
	}
}

func (l *lineReader) Commit(context.Context, map[stage.Lane]stage.Mark) error { return nil }

func (l *lineReader) Close(context.Context) error {
	close(l.closed)
	return nil
}
