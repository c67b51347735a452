package sink_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// blockedWrite is a Write of more than a producer takes while its brokers are
// away.
type blockedWrite struct {
	writer   stage.Writer
	answers  []atomic.Int32
	returned chan struct{}
}

// blockWrite closes the broker between begin and Write.
func blockWrite(t *testing.T, env stage.Env, begin func(stage.Writer)) *blockedWrite {
	b := kafkatest.Start(t, "out")
	env.Logger, env.Topics, env.DrainTimeout = slog.New(slog.DiscardHandler), []string{"out"}, time.Second
	w, err := sink.Kafka(b.Cluster(), topic("out")).Targets[0].Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	begin(w)
	b.Close()
	recs := make([]stage.Raw, 20_000)
	for i := range recs {
		recs[i] = stage.Raw{Topic: "out", Value: []byte("value")}
	}
	blocked := &blockedWrite{writer: w, answers: make([]atomic.Int32, len(recs)), returned: make(chan struct{})}
	go func() {
		w.Write(recs, func(i int, _ error) { blocked.answers[i].Add(1) })
		close(blocked.returned)
	}()
	select {
	case <-blocked.returned:
		t.Fatal("Write did not block")
	case <-time.After(time.Second):
	}
	return blocked
}

// ends waits until Write has returned, and every record has its answer.
func (b *blockedWrite) ends(t *testing.T) {
	t.Helper()
	late := time.After(30 * time.Second)
	select {
	case <-b.returned:
	case <-late:
		t.Fatal("Write still blocks")
	}
	for i := range b.answers {
		for b.answers[i].Load() == 0 {
			select {
			case <-time.After(time.Millisecond):
			case <-late:
				t.Fatalf("record %d has no answer", i)
			}
		}
	}
	for i := range b.answers {
		if n := b.answers[i].Load(); n != 1 {
			t.Fatalf("record %d has %d answers", i, n)
		}
	}
}

// TestCloseWhileAWriteBlocks: a stage that has waited for DrainTimeout waits
// for nobody any more.
func TestCloseWhileAWriteBlocks(t *testing.T) {
	b := blockWrite(t, stage.Env{}, func(stage.Writer) {})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := b.writer.Close(ctx); err == nil {
		t.Error("closed, although nothing was written")
	}
	b.ends(t)
}

// TestWriteAfterClose: it comes from a worker that the stage has left behind.
func TestWriteAfterClose(t *testing.T) {
	b := kafkatest.Start(t, "out")
	w, err := sink.Kafka(b.Cluster(), topic("out")).Targets[0].Open(t.Context(), stage.Env{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	w.Write([]stage.Raw{{Topic: "out"}}, func(_ int, err error) { answer <- err })
	if err := <-answer; err == nil || b.End(t, "out") != 0 {
		t.Error("written, although the writer is closed")
	}
}
