package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// TestReplay: a stage gives records up, another one puts some of them back
// where they came from, and they are what they were.
func TestReplay(t *testing.T) {
	for name, headers := range map[string]sink.Headers{"Connect": sink.ConnectHeaders, "Spring": sink.SpringHeaders} {
		t.Run(name, func(t *testing.T) {
			b := kafkatest.Start(t, "in", "out", "dead")
			c := b.Cluster()
			at := time.UnixMilli(1_600_000_000_123)
			first := stage.Raw{Key: []byte{0xff, 0}, Value: []byte("bad 1"), Time: at, Headers: []stage.Header{
				{Key: "trace", Value: []byte{1, 2}}, {Key: "trace", Value: nil},
				{Key: "__connect.errors.topic", Value: []byte("of another system")},
			}}
			b.Produce(t, "in", raw("k", "good"), first, raw("k", "bad 2"), stage.Raw{Value: []byte{0xff}})
			works := false
			upper := copier(c, source.UntilEnd())
			upper.DeadLetters = sink.DeadLettersAs(c, "dead", headers)
			upper.Order = stage.ByPartition
			upper.Transform = stage.Map(func(_ context.Context, v string) (string, error) {
				if strings.HasPrefix(v, "bad") && !works {
					return "", stage.Permanent(fmt.Errorf("it broke: %s", strings.Repeat("x", 5000)))
				}
				return v, nil
			})
			run := func(s stage.Runner) {
				t.Helper()
				if err := stage.Run(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			run(upper)
			dead := b.Consume(t, "dead", 3)
			if len(dead) != 3 {
				t.Fatalf("%d dead letters", len(dead))
			}
			for _, h := range dead[0].Headers {
				if len(h.Value) > 1024 {
					t.Errorf("header %s has %d bytes", h.Key, len(h.Value))
				}
			}

			works = true
			var seen []stage.DeadLetter
			run(&stage.Stage[stage.DeadLetter, stage.DeadLetter]{
				Source: source.DeadLetters(c, "dead", "replay", source.UntilEnd()),
				Transform: stage.Map(func(_ context.Context, d stage.DeadLetter) (stage.DeadLetter, error) {
					seen = append(seen, d)
					if !strings.HasPrefix(string(d.Record.Value), "bad") {
						return d, stage.ErrSkip
					}
					return d, nil
				}),
				Sink:    sink.Replay(c),
				Workers: 1,
				Order:   stage.ByPartition,
				Logger:  quiet,
			})
			for i, d := range seen {
				if d.Record.Topic != "in" || d.Record.Offset != int64(i+1) || d.Attempts != 1 || d.Err == nil {
					t.Errorf("dead letter %d: %+v", i, d)
				}
			}
			back := b.Consume(t, "in", 6)
			if got := values(back); len(got) != 6 || got[4] != "bad 1" || got[5] != "bad 2" {
				t.Fatalf("the topic holds %q", got)
			}
			r := back[4]
			if !bytes.Equal(r.Key, first.Key) || !r.Time.Equal(at) || !slices.EqualFunc(r.Headers, first.Headers, func(a, b stage.Header) bool {
				return a.Key == b.Key && bytes.Equal(a.Value, b.Value)
			}) {
				t.Errorf("key %q, time %v, headers %v; want them as they were", r.Key, r.Time, r.Headers)
			}
			run(upper)
			got := slices.Sorted(slices.Values(values(b.Consume(t, "out", 3)))) // different keys have no order
			if !slices.Equal(got, []string{"bad 1", "bad 2", "good"}) {
				t.Errorf("out holds %q", got)
			}
		})
	}
}

// TestAgain runs the stage that gave records up on its dead letters.
func TestAgain(t *testing.T) {
	b := kafkatest.Start(t, "in", "out", "dead")
	c := b.Cluster()
	b.Produce(t, "in", raw("a", "one"), raw("b", "two"), raw("c", "three"))
	s := copier(c, source.UntilEnd())
	s.DeadLetters = sink.DeadLetters(c, "dead")
	s.Transform = stage.Map(func(_ context.Context, v string) (string, error) {
		return "", stage.Permanent(errors.New("the model is not loaded"))
	})
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s = copier(c)
	s.Source = source.Again(source.DeadLetters(c, "dead", "again", source.UntilEnd()), stage.String(), func(d stage.DeadLetter) bool {
		return d.Step == stage.StepTransform && string(d.Record.Value) != "two"
	})
	if err := stage.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(slices.Values(values(b.Consume(t, "out", 2)))) // different keys have no order
	if !slices.Equal(got, []string{"ONE", "THREE"}) {
		t.Errorf("out holds %q", got)
	}
}

// TestNotADeadLetter: a record that tells nothing of a failure is named, and
// stops the replay rather than going anywhere.
func TestNotADeadLetter(t *testing.T) {
	for want, headers := range map[string][]stage.Header{
		"neither the header": nil,
		"errors.partition":   {{Key: "__connect.errors.topic", Value: []byte("in")}},
		"have 0 and 0 bytes": {{Key: "kafka_dlt-original-topic", Value: []byte("in")}},
	} {
		b := kafkatest.Start(t, "dead")
		b.Produce(t, "dead", stage.Raw{Value: []byte("x"), Headers: headers})
		err := stage.Run(t.Context(), &stage.Stage[stage.DeadLetter, stage.DeadLetter]{
			Source:    source.DeadLetters(b.Cluster(), "dead", "replay", source.UntilEnd()),
			Transform: stage.Map(func(_ context.Context, d stage.DeadLetter) (stage.DeadLetter, error) { return d, nil }),
			Sink:      sink.Replay(b.Cluster()),
			Logger:    quiet,
		})
		bad, ok := errors.AsType[*stage.RecordError](err)
		if !ok || bad.Offset != 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q in it", err, want)
		}
	}
}
