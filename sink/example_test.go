package sink_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// One sentence in, one line a word out.
func ExampleEach() {
	err := stage.Run(context.Background(), &stage.Stage[string, []string]{
		Source:    source.Slice([]string{"the mill turns"}),
		Transform: stage.Map(func(_ context.Context, s string) ([]string, error) { return strings.Fields(s), nil }),
		Sink:      sink.Each(sink.JSONLines[string](os.Stdout)),
	})
	fmt.Println(err)
	// Output:
	// "the"
	// "mill"
	// "turns"
	// <nil>
}

// Results to a topic, what can't be done to another one; both by one producer.
func ExampleDeadLetters() {
	cluster := &kafka.Cluster{Brokers: []string{"localhost:9092"}}
	in := stage.Topic[string]{Name: "posts", Codec: stage.String()}
	out := stage.Topic[string]{Name: "shouted", Codec: stage.String()}
	_ = &stage.Stage[string, string]{
		Source:      source.Kafka(cluster, in, "shouting"),
		Transform:   stage.Map(func(_ context.Context, s string) (string, error) { return strings.ToUpper(s), nil }),
		Sink:        sink.Kafka(cluster, out),
		DeadLetters: sink.DeadLetters(cluster, "posts.dead"),
	}
}
