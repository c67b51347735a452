// Package stagetest runs stages without a broker: a [Source] and a [Sink] in
// memory that use nothing but channels and locks, so that they work inside
// testing/synctest, where retries, lingering and draining take no time and
// always happen in the same order.
//
// A Source keeps its records and what was committed, as a topic and a consumer
// group do: run a stage twice over one Source and the second run reads what
// the first left; Revoke takes a partition away in the middle.
package stagetest
