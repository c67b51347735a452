package source_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// Lines of JSON through a stage; a file or standard input as well.
func ExampleJSONLines() {
	type post struct{ Text string }
	err := stage.Run(context.Background(), &stage.Stage[post, int]{
		Source:    source.JSONLines[post](strings.NewReader(`{"text":"one two"}`), "posts"),
		Transform: stage.Map(func(_ context.Context, p post) (int, error) { return len(strings.Fields(p.Text)), nil }),
		Sink:      sink.JSONLines[int](os.Stdout),
	})
	fmt.Println(err)
	// Output:
	// 2
	// <nil>
}

// A back-fill: everything since May, up to now, and then stop.
func ExampleUntilEnd() {
	cluster := &kafka.Cluster{Brokers: []string{"localhost:9092"}}
	posts := stage.Topic[string]{Name: "posts", Codec: stage.String()}
	_ = source.Kafka(cluster, posts, "backfill-2026",
		source.FromTime(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)),
		source.UntilEnd())
}
