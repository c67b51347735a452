// Package reply asks questions over Kafka and waits for their answers: each
// question gets a correlation id, and whatever comes back on the answers'
// topic, or as a dead letter, finds its asker by that id. An answer that comes
// twice, or after its asker has gone, is dropped.
package reply
