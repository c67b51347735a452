package reply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
	"github.com/millrace-go/millrace/stage/reply"
)

func Example() {
	broker, err := kafkatest.New(kafkatest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	cluster := broker.Cluster()
	words := stage.Topic[string]{Name: "words", Codec: stage.String()}
	lengths := stage.Topic[int]{Name: "lengths", Codec: stage.JSON[int]()}
	for _, topic := range []string{words.Name, lengths.Name, "words.dead"} {
		if err := broker.CreateTopic(topic, 1); err != nil {
			fmt.Println(err)
			return
		}
	}

	// Who answers is an ordinary stage.
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		err := stage.Run(ctx, &stage.Stage[string, int]{
			Source: source.Kafka(cluster, words, "measure"),
			Transform: stage.Map(func(_ context.Context, word string) (int, error) {
				if strings.Contains(word, " ") {
					return 0, stage.Permanent(errors.New("that is more than a word"))
				}
				return len(word), nil
			}),
			Sink:        sink.Kafka(cluster, lengths),
			DeadLetters: sink.DeadLetters(cluster, "words.dead"),
		})
		if err != nil {
			fmt.Println(err)
		}
	})
	defer running.Wait()
	defer stop()

	asker, err := reply.Dial(ctx, cluster, words, lengths, reply.Options{DeadLetters: []string{"words.dead"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer asker.Close(ctx)
	for _, word := range []string{"millrace", "two words"} {
		length, err := asker.Ask(ctx, word)
		if failed, ok := errors.AsType[*reply.FailedError](err); ok {
			fmt.Printf("%s: %s\n", word, failed.Reason)
			continue
		}
		fmt.Println(word, length, err)
	}
	// Output:
	// millrace 8 <nil>
	// two words: that is more than a word
}
