// Package stage runs transforms between Kafka topics, or between anything
// else that can be read and written record by record.
//
// A [Stage] owns a [Source], a [Transform] and a [Sink], and all that lies
// between them: a bounded pool of workers, micro-batches, order, retries, dead
// letters, commits, draining. A [Transform] is a plain function on a batch of
// values; [Map] makes one of a function on a single value, [Then] chains two,
// [Lift] applies one to a field of a larger record. [Run] runs stages until
// their context ends.
//
// # What a stage promises
//
//   - At least once: an offset is committed only when the results of every
//     record below it, or their dead letters, are acknowledged.
//   - Order by key, by partition, or none ([Order]), through retries and
//     rebalances; records of different keys run side by side inside one
//     partition.
//   - Bounds: at most Workers transforms at once, at most MaxInFlight records
//     in the stage.
//   - A record that cannot be done does not stop the others: it is retried
//     ([Retry]), then set aside as a [DeadLetter].
//   - A stop drains: what is in flight is finished and committed first.
//
// # Errors steer
//
// A Transform returns [ErrSkip] to drop a record, [Permanent] to give it up at
// once, [RetryAfter] to have it back later, a [*BatchError] when only some of
// a batch failed, and any other error to have it tried again.
//
// This package knows nothing of Kafka: see packages source and sink for that,
// and stagetest for tests without a broker.
package stage
