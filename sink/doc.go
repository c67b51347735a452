// Package sink says where a stage's results go: Kafka topics, lines of JSON,
// several places at once ([Tee]), and dead letters.
package sink
