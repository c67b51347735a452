// Quickstart is a whole program with Millrace: it reads posts from one Kafka
// topic, shouts them, and writes them to another.
//
//	go run ./examples/quickstart localhost:9092
//
// The topics "posts" and "shouted" must exist; without an address it brings a
// broker of its own and sends itself a few posts.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, brokers []string) error {
	posts := stage.Topic[string]{Name: "posts", Codec: stage.String()}
	shouted := stage.Topic[string]{Name: "shouted", Codec: stage.String()}
	cluster := &kafka.Cluster{Brokers: brokers}
	if len(brokers) == 0 {
		broker, err := kafkatest.New(kafkatest.Options{})
		if err != nil {
			return err
		}
		defer broker.Close()
		cluster = broker.Cluster()
		if err := seed(ctx, broker, posts, shouted); err != nil {
			return err
		}
	}

	return stage.Run(ctx,
		&stage.Stage[string, string]{
			Name:   "shout",
			Source: source.Kafka(cluster, posts, "shouting"),
			Transform: stage.Map(func(_ context.Context, post string) (string, error) {
				return strings.ToUpper(post) + "!", nil
			}),
			Sink: sink.Kafka(cluster, shouted),
		},
		&stage.Stage[string, string]{
			Name:   "print",
			Source: source.Kafka(cluster, shouted, "printing"),
			Transform: stage.Map(func(_ context.Context, post string) (string, error) {
				return post, nil
			}),
			Sink: sink.JSONLines[string](os.Stdout),
		},
	)
}

// seed fills the broker of a demonstration.
func seed(ctx context.Context, b *kafkatest.Broker, posts, shouted stage.Topic[string]) error {
	for _, t := range []string{posts.Name, shouted.Name} {
		if err := b.CreateTopic(t, 3); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "Ctrl-C drains and ends")
	return stage.Run(ctx, &stage.Stage[string, string]{
		Name:      "seed",
		Source:    source.Slice([]string{"the mill turns", "the race runs", "the stone grinds"}),
		Transform: stage.Map(func(_ context.Context, post string) (string, error) { return post, nil }),
		Sink:      sink.Kafka(b.Cluster(), posts),
	})
}
