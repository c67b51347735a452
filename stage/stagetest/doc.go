// Package stagetest is for tests of stages and of their parts.
//
// It runs stages without a broker: a [Source] and a [Sink] in memory that use
// nothing but channels and locks, so that they work inside testing/synctest,
// where retries, lingering and draining take no time and always happen in the
// same order.
//
// A Source keeps its records and what was committed, as a topic and a consumer
// group do: run a stage twice over one Source and the second run reads what
// the first left; Revoke takes a partition away in the middle.
//
// [TestSource], [TestSink] and [TestTransform] hold an implementation of one's
// own to what a stage asks of it: each is one call in a test, given a fixture
// that makes the implementation and says how to fill or read the place behind
// it. What a failure says is what the contract asks and what came instead.
package stagetest
