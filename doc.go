// Package millrace is a library for chaining Kafka transform stages: consume,
// transform on a bounded pool of workers, produce.
//
// One writes a plain function on values, or takes one of those that come with
// it (embed a sentence, shorten a vector, find its nearest neighbours), and a
// stage does the rest: batches, order by key, retries, dead letters, commits,
// back-pressure, draining.
//
//	cluster := &kafka.Cluster{Brokers: []string{"localhost:9092"}}
//	posts := stage.Topic[string]{Name: "posts", Codec: stage.String()}
//	vectors := stage.Topic[vector.Vector]{Name: "vectors", Codec: vector.Codec{}}
//
//	model, err := embed.Open(embed.Installed("all-MiniLM-L6-v2"))
//	if err != nil {
//		return err
//	}
//	defer model.Close()
//
//	err = stage.Run(ctx, &stage.Stage[string, vector.Vector]{
//		Name:        "embed",
//		Source:      source.Kafka(cluster, posts, "embed-group"),
//		Transform:   model,
//		Sink:        sink.Kafka(cluster, vectors),
//		DeadLetters: sink.DeadLetters(cluster, "posts.dead"),
//		BatchSize:   512,
//	})
//
// # The packages
//
//   - stage: the engine and its vocabulary; knows nothing of Kafka
//   - stage/stagetest: a source and a sink in memory, for tests in fake time, and
//     what every source, sink and transform must pass
//   - stage/kafka: which Kafka cluster, and how to talk to it
//   - stage/reply: ask a question over Kafka, and wait for its answer
//   - stage/kafkatest: a Kafka broker inside the process
//   - source, sink: where records come from and go to
//   - embed: text to vector, by sentence-transformers models
//   - reduce: vector to shorter vector, by PCA
//   - similarity: vector to its nearest items; similarity/bigquery asks BigQuery
//   - similarity/vector: what those three share
//
// An importer pays only for what it imports: stage needs no Kafka client,
// source and sink no model, similarity no cgo.
//
// This package itself holds nothing but this page.
package millrace
