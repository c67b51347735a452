// Package kafkaserver installs Apache Kafka (KRaft) from Maven Central and
// runs it on 127.0.0.1, for tests that kill brokers.
package kafkaserver
