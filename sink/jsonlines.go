package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/millrace-go/millrace/stage"
)

// JSONLines writes each result as a line of JSON. A record is done when w has
// taken its line. w is not closed.
func JSONLines[T any](w io.Writer) stage.Sink[T] {
	return stage.Sink[T]{
		Targets: []stage.Target{{
			Open: func(context.Context, stage.Env) (stage.Writer, error) { return &lineWriter{w: w}, nil },
		}},
		Encode: func(v T, _ *stage.Raw, emit func(int, stage.Raw)) error {
			var line bytes.Buffer
			enc := json.NewEncoder(&line)
			enc.SetEscapeHTML(false) // lines are for people and tools, not for web pages
			if err := enc.Encode(v); err != nil {
				return fmt.Errorf("sink: JSON of %T: %w", v, err)
			}
			emit(0, stage.Raw{Value: line.Bytes()})
			return nil
		},
	}
}

type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) Write(recs []stage.Raw, done func(i int, err error)) {
	var lines []byte
	for _, r := range recs {
		lines = append(lines, r.Value...)
	}
	l.mu.Lock()
	_, err := l.w.Write(lines)
	l.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("sink: write a line: %w", err)
	}
	for i := range recs {
		done(i, err)
	}
}

func (l *lineWriter) Close(context.Context) error { return nil }
