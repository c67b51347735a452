//go:build !race

// Without -race for the reason in fence_test.go.

package sink_test

import (
	"context"
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// TestStopWhileAWriteOfATransactionBlocks: the goroutine that would end the
// transaction is in Write itself.
func TestStopWhileAWriteOfATransactionBlocks(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	b := blockWrite(t, stage.Env{TransactionalID: "blocked"}, func(w stage.Writer) {
		if err := w.(stage.TxnWriter).Begin(ctx); err != nil {
			t.Fatal(err)
		}
	})
	stop()
	b.ends(t)
	w := b.writer.(stage.TxnWriter)
	if err := w.Abort(ctx); err != nil {
		t.Error(err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
