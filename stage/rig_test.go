package stage_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// rig is a stage over memory, in a bubble of fake time.
type rig struct {
	src   stagetest.Source[string]
	sink  stagetest.Sink[string]
	dead  stagetest.Sink[stage.DeadLetter]
	stage stage.Stage[string, string]
}

func newRig(f func(context.Context, string) (string, error)) *rig {
	r := &rig{}
	r.stage = stage.Stage[string, string]{
		Name:      "test",
		Source:    r.src.Source(),
		Transform: stage.Map(f),
		Sink:      r.sink.Sink(),
		Workers:   8,
		Logger:    slog.New(slog.DiscardHandler),
	}
	return r
}

func (r *rig) withDeadLetters() *rig {
	r.stage.DeadLetters = r.dead.Sink()
	return r
}

// push adds values "key:n" to partition 0; a value without a key has none.
func (r *rig) push(values ...string) {
	for _, v := range values {
		var key []byte
		if k, _, ok := strings.Cut(v, ":"); ok {
			key = []byte(k)
		}
		r.src.Push(0, key, v)
	}
}

func (r *rig) runToEnd(t *testing.T) {
	t.Helper()
	r.src.End()
	if err := stage.Run(t.Context(), &r.stage); err != nil {
		t.Fatal(err)
	}
}

func same(_ context.Context, s string) (string, error) { return s, nil }
