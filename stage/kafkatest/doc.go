// Package kafkatest is a Kafka broker inside the process, for tests and
// demonstrations: real network connections and the real protocol, with groups,
// transactions and headers, but nothing to install and nothing left behind.
package kafkatest
