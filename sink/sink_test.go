package sink_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

var quiet = slog.New(slog.DiscardHandler)

func topic(name string) stage.Topic[string] {
	return stage.Topic[string]{Name: name, Codec: stage.String()}
}

func same[T any](_ context.Context, v T) (T, error) { return v, nil }

func values(recs []stage.Raw) []string {
	var vs []string
	for _, r := range recs {
		vs = append(vs, string(r.Value))
	}
	return vs
}

func TestDeadLetterKeepsTheInputByteForByte(t *testing.T) {
	b := kafkatest.Start(t, "in", "out", "dead")
	at := time.UnixMilli(1_555_000_000_123)
	poison := stage.Raw{
		Key: []byte{0, 0xff}, Value: []byte("{\"broken\": \xff"), Time: at,
		Headers: []stage.Header{{Key: "id", Value: []byte{1, 2}}, {Key: "empty"}},
	}
	b.Produce(t, "in", stage.Raw{Value: []byte(`{"n":1}`)}, poison, stage.Raw{Value: []byte(`{"n":2}`)})

	type number struct{ N int }
	c := b.Cluster()
	err := stage.Run(t.Context(), &stage.Stage[number, number]{
		Name:        "numbers",
		Source:      source.Kafka(c, stage.Topic[number]{Name: "in", Codec: stage.JSON[number]()}, "group", source.UntilEnd()),
		Transform:   stage.Map(same[number]),
		Sink:        sink.Kafka(c, stage.Topic[number]{Name: "out", Codec: stage.JSON[number]()}),
		DeadLetters: sink.DeadLetters(c, "dead"),
		Logger:      quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := values(b.Consume(t, "out", 2)); len(got) != 2 {
		t.Errorf("out holds %q", got)
	}
	d := b.Consume(t, "dead", 1)[0]
	if !bytes.Equal(d.Key, poison.Key) || !bytes.Equal(d.Value, poison.Value) || !d.Time.Equal(at) {
		t.Errorf("key %q, value %q, time %v", d.Key, d.Value, d.Time)
	}
	for i, h := range poison.Headers {
		if d.Headers[i].Key != h.Key || !bytes.Equal(d.Headers[i].Value, h.Value) {
			t.Errorf("header %d is %+v, want %+v", i, d.Headers[i], h)
		}
	}
	for key, want := range map[string]string{
		"__connect.errors.topic":                "in",
		"__connect.errors.partition":            "0",
		"__connect.errors.offset":               "1",
		"__connect.errors.connector.name":       "numbers",
		"__connect.errors.stage":                "decode",
		"__connect.errors.exception.class.name": "*json.SyntaxError",
		"millrace.errors.attempts":              "1",
	} {
		if got, _ := d.Header(key); string(got) != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if m, _ := d.Header("__connect.errors.exception.message"); !strings.Contains(string(m), "from JSON") {
		t.Errorf("message %q", m)
	}
}

func TestTooLargeIsADeadLetter(t *testing.T) {
	b := kafkatest.Start(t, "in", "out", "dead")
	b.Produce(t, "in", stage.Raw{Key: []byte("k"), Value: []byte("a")}, stage.Raw{Key: []byte("k"), Value: []byte("big")}, stage.Raw{Key: []byte("k"), Value: []byte("b")})
	c := b.Cluster()
	err := stage.Run(t.Context(), &stage.Stage[string, string]{
		Source: source.Kafka(c, topic("in"), "group", source.UntilEnd()),
		Transform: stage.Map(func(_ context.Context, s string) (string, error) {
			if s == "big" {
				return strings.Repeat("x", 2<<20), nil
			}
			return s, nil
		}),
		Sink:        sink.Kafka(c, topic("out")),
		DeadLetters: sink.DeadLetters(c, "dead"),
		Logger:      quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	out := values(b.Consume(t, "out", 2))
	if out[0] != "a" || out[len(out)-1] != "b" {
		t.Errorf("out holds %q", out)
	}
	dead := b.Consume(t, "dead", 1)
	if len(dead) != 1 || string(dead[0].Value) != "big" {
		t.Errorf("dead letters %q", values(dead))
	}
	if step, _ := dead[0].Header("__connect.errors.stage"); string(step) != "write" {
		t.Errorf("step %q", step)
	}
	if c, _ := b.Committed(t, "group", "in", 0); c != 3 {
		t.Errorf("committed %d, want 3", c)
	}
}

func TestTopicChosenByRecord(t *testing.T) {
	b := kafkatest.Start(t, "in", "out", "other", "dead")
	header := func(v string) []stage.Header { return []stage.Header{{Key: "reply-to", Value: []byte(v)}} }
	b.Produce(t, "in",
		stage.Raw{Value: []byte("1")},
		stage.Raw{Value: []byte("2"), Headers: header("other")},
	)
	c := b.Cluster()
	choose := sink.ChooseTopic(func(_ string, in *stage.Raw) string {
		name, _ := in.Header("reply-to")
		return string(name)
	})
	err := stage.Run(t.Context(), &stage.Stage[string, string]{
		Source:    source.Kafka(c, topic("in"), "group", source.UntilEnd()),
		Transform: stage.Map(same[string]),
		Sink:      sink.Kafka(c, topic("out"), choose),
		Logger:    quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, other := values(b.Consume(t, "out", 1)), values(b.Consume(t, "other", 1)); out[0] != "1" || other[0] != "2" {
		t.Errorf("out %q, other %q", out, other)
	}
}

func TestTeeEachAndAs(t *testing.T) {
	b := kafkatest.Start(t, "in", "words", "lengths")
	b.Produce(t, "in", stage.Raw{Key: []byte("k"), Value: []byte("one two three")}, stage.Raw{Key: []byte("k")})
	c := b.Cluster()
	var lines bytes.Buffer
	words := sink.Kafka(c, topic("words"))
	lengths := sink.As(sink.Kafka(c, topic("lengths")), func(s string) string { return fmt.Sprint(len(s)) })
	err := stage.Run(t.Context(), &stage.Stage[string, []string]{
		Source:    source.Kafka(c, topic("in"), "group", source.UntilEnd()),
		Transform: stage.Map(func(_ context.Context, s string) ([]string, error) { return strings.Fields(s), nil }),
		Sink:      sink.Each(sink.Tee(words, lengths, sink.JSONLines[string](&lines))),
		Logger:    quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := values(b.Consume(t, "words", 3)), []string{"one", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("words %q, want %q", got, want)
	}
	if got, want := values(b.Consume(t, "lengths", 3)), []string{"3", "3", "5"}; !slices.Equal(got, want) {
		t.Errorf("lengths %q, want %q", got, want)
	}
	if got, want := lines.String(), "\"one\"\n\"two\"\n\"three\"\n"; got != want {
		t.Errorf("lines %q, want %q", got, want)
	}
	if c, _ := b.Committed(t, "group", "in", 0); c != 2 {
		t.Errorf("committed %d, want 2: a record without results is done, too", c)
	}
}

func TestJSONLinesFromLinesToLines(t *testing.T) {
	in := "{\"n\":1}\n\nnot json\n{\"n\":2}"
	type number struct {
		N int `json:"n"`
	}
	var out, dead bytes.Buffer
	err := stage.Run(t.Context(), &stage.Stage[number, number]{
		Source:      source.JSONLines[number](strings.NewReader(in), "numbers.jsonl"),
		Transform:   stage.Map(same[number]),
		Sink:        sink.JSONLines[number](&out),
		DeadLetters: sink.As(sink.JSONLines[string](&dead), func(d stage.DeadLetter) string { return string(d.Record.Value) }),
		Order:       stage.ByPartition,
		Logger:      quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != "{\"n\":1}\n{\"n\":2}\n" || dead.String() != "\"not json\"\n" {
		t.Errorf("out %q, dead %q", out.String(), dead.String())
	}

	// Without dead letters the broken line stops the stage and is named.
	err = stage.Run(t.Context(), &stage.Stage[number, number]{
		Source:    source.JSONLines[number](strings.NewReader(in), "numbers.jsonl"),
		Transform: stage.Map(same[number]),
		Sink:      sink.JSONLines[number](&out),
		Logger:    quiet,
	})
	bad, ok := errors.AsType[*stage.RecordError](err)
	if !ok || bad.Topic != "numbers.jsonl" || bad.Offset != 3 {
		t.Errorf("error %v", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestJSONLinesReportsAWriteThatFails(t *testing.T) {
	err := stage.Run(t.Context(), &stage.Stage[int, int]{
		Source:    source.Slice([]int{1, 2, 3}),
		Transform: stage.Map(same[int]),
		Sink:      sink.JSONLines[int](brokenPipe{}),
		Retry:     stage.Retry{Attempts: 1},
		Logger:    quiet,
	})
	if err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("error %v", err)
	}
}
