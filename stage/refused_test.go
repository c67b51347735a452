package stage_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// TestRefusedWriteStopsTheStage at once: the target takes nothing any more, so
// that neither the record nor a second attempt is to blame.
func TestRefusedWriteStopsTheStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(same).withDeadLetters()
		r.sink.Refuse = func(rec stage.Record[string], _ int) error {
			if rec.Value == "a:2" {
				return fmt.Errorf("%w: the topic is gone", stage.ErrRefused)
			}
			return nil
		}
		r.push("a:1", "a:2", "a:3")
		r.src.End()
		start := time.Now()
		err := stage.Run(t.Context(), &r.stage)
		if rec, ok := errors.AsType[*stage.RecordError](err); !ok || rec.Offset != 1 || !errors.Is(err, stage.ErrRefused) {
			t.Errorf("%v", err)
		}
		if d, dead, c := time.Since(start), len(r.dead.Values()), r.src.Committed(0); d != 0 || dead != 0 || c != 1 {
			t.Errorf("after %v: %d dead letters, %d committed; want none, 1, at once", d, dead, c)
		}
	})
}
