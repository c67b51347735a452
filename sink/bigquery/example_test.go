package bigquery_test

import (
	"context"
	"errors"
	"time"

	storage "cloud.google.com/go/bigquery/storage/apiv1"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/sink/bigquery"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// Results go to a topic at least once, and to a table exactly once.
func ExampleAppendOnce() {
	type Order struct {
		ID    string    `bigquery:"id"`
		Total float64   `bigquery:"total"`
		At    time.Time `bigquery:"at"`
	}
	run := func(ctx context.Context) error {
		client, err := storage.NewBigQueryWriteClient(ctx) // application-default credentials
		if err != nil {
			return err
		}
		cluster := &kafka.Cluster{Brokers: []string{"localhost:9092"}}
		orders := stage.Topic[Order]{Name: "orders", Codec: stage.JSON[Order]()}
		checked := stage.Topic[Order]{Name: "orders.checked", Codec: stage.JSON[Order]()}
		table := bigquery.Table{Storage: client, Project: "my-project", Dataset: "shop", Name: "orders"}
		err = stage.Run(ctx, &stage.Stage[Order, Order]{
			Source: source.Kafka(cluster, orders, "order-check"),
			Transform: stage.Map(func(_ context.Context, o Order) (Order, error) {
				if o.Total < 0 {
					return o, stage.Permanent(errors.New("a negative total"))
				}
				return o, nil
			}),
			Sink:        sink.Tee(sink.Kafka(cluster, checked), bigquery.AppendOnce[Order](table)),
			DeadLetters: sink.DeadLetters(cluster, "orders.dead"),
		})
		return errors.Join(err, client.Close())
	}
	_ = run
}
