//go:build !race

// Without -race for the reason in fence_test.go.

package sink_test

import (
	"context"
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// TestAbortWhileAWriteBlocks: the stage is told to stop.
func TestAbortWhileAWriteBlocks(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	b := blockWrite(t, stage.Env{TransactionalID: "blocked"}, func(w stage.Writer) {
		if err := w.(stage.TxnWriter).Begin(ctx); err != nil {
			t.Fatal(err)
		}
	})
	stop()
	w := b.writer.(stage.TxnWriter)
	if err := w.Abort(ctx); err != nil {
		t.Error(err)
	}
	b.ends(t)
	late := make(chan error, 1)
	w.Write([]stage.Raw{{Topic: "out"}}, func(_ int, err error) { late <- err })
	if err := <-late; err == nil {
		t.Error("written after the transaction")
	}
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
