package source_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// TestALaneDoesNotBeginWithoutItsNote: whoever keeps notes would take what is
// written for new. The coordinator does not say at first what is committed.
func TestALaneDoesNotBeginWithoutItsNote(t *testing.T) {
	b := kafkatest.Start(t, "in")
	b.Produce(t, "in", raw("a", "1"), raw("b", "2"), raw("c", "3"))
	in := source.Kafka(b.Cluster(), stage.Topic[string]{Name: "in", Codec: stage.String()}, "group")
	env := stage.Env{Stage: "test", Logger: quiet, DrainTimeout: time.Second, Notes: true}
	want := stage.Mark{Offset: 1, Done: "done", Note: "what was about to be written"}
	failed := 0
	for run := range 2 {
		r, err := in.Open(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		if run == 1 {
			asked := 0
			b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "group", Count: -1, When: func(kmsg.Request) bool {
				if asked++; asked > 1 && asked <= 6 { // the first is sarama's own, for the offset
					failed++
					return true
				}
				return false
			}})
		}
		batch, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l := batch.Lane.(stage.ResumableLane)
		if got := l.Start(); run == 1 && got != want {
			t.Errorf("the lane begins with %+v, want %+v", got, want)
		}
		if run == 0 {
			if err := r.Commit(t.Context(), map[stage.Lane]stage.Mark{l: want}); err != nil {
				t.Fatal(err)
			}
		}
		l.Release()
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if failed != 5 {
		t.Errorf("%d look-ups have failed, want 5", failed)
	}
}

// TestTooLittleRoomForNotes: without the done map a note says too little, so
// that nothing is committed, and the stage stops.
func TestTooLittleRoomForNotes(t *testing.T) {
	b := kafkatest.Start(t, "in")
	b.Produce(t, "in", raw("a", "1"))
	in := source.Kafka(b.Cluster(), stage.Topic[string]{Name: "in", Codec: stage.String()}, "group")
	for _, notes := range []bool{false, true} {
		fault := b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "group", Err: kerr.OffsetMetadataTooLarge})
		r, err := in.Open(t.Context(), stage.Env{Stage: "test", Logger: quiet, DrainTimeout: time.Second, Notes: notes})
		if err != nil {
			t.Fatal(err)
		}
		batch, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = r.Commit(t.Context(), map[stage.Lane]stage.Mark{batch.Lane: {Offset: 0, Done: "done", Note: "note"}})
		if fault.Hits() != 1 {
			t.Errorf("notes: %v: the broker has refused %d commits, want 1", notes, fault.Hits())
		}
		if notes != stage.IsPermanent(err) || notes == (err == nil) {
			t.Errorf("notes: %v: the commit says %v", notes, err)
		}
		if notes {
			if _, err := r.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "raise offset.metadata.max.bytes") {
				t.Errorf("the stage is told %v", err)
			}
		}
		batch.Lane.Release()
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
