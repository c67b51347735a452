// Package source says where a stage's records come from: Kafka topics read by
// a consumer group, lines of JSON, or values already in memory.
package source
