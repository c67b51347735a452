// Package kafka says which Kafka cluster to talk to, and how: a [Cluster] is
// what source.Kafka, sink.Kafka and kafkatest share.
package kafka
