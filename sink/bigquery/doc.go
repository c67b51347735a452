// Package bigquery holds sinks whose records become rows of a Google BigQuery
// table, and finds those rows again by their ids.
//
//	client, err := storage.NewBigQueryWriteClient(ctx)
//	...
//	rows := bigquery.AppendOnce[Row](bigquery.Table{Storage: client, Project: "p", Dataset: "d", Name: "answers"})
//	s := stage.Stage[Question, Answer]{ ..., Sink: sink.Tee(sink.Kafka(cluster, answers), sink.As(rows, Answer.row))}
//
// Which one, by what matters:
//
//	AppendOnce   each row once, whatever dies; Storage Write API, a stream a partition
//	Append       many rows, at least once; Storage Write API, the default stream
//	Insert       no gRPC, and most rows that come twice are told apart; tabledata.insertAll
//	Load         to fill a table; free of charge, seconds a job
//
// A row is a struct by the rules of bigquery.InferSchema; keys, headers and
// times of records do not travel with it. The table must be there. A table has
// no order, and so the sinks keep none.
//
// The clients are those of cloud.google.com/go/bigquery; their options decide
// about credentials and endpoint, an emulator's for instance. Quotas and errors
// of the service slow a stage down, and stop it where trying again is in vain:
// where the table is gone, or a permission. A row that the table refuses is a
// dead letter, and the others of its request are written.
package bigquery
