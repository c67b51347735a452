package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Stage reads records from a [Source], makes results of them by a [Transform],
// and writes those to a [Sink].
//
// Source, Transform and Sink are required; the zero value of every other field
// is its documented default. A Stage holds no state of a run, so it may be run
// again, and must not be changed while it runs.
//
// Delivery is at least once: a record's offset is committed only after its
// results, or its dead letter, are acknowledged. With [ExactlyOnce] both
// happen in one transaction.
type Stage[In, Out any] struct {
	// Name tells stages apart in logs and errors. Empty: "stage" and its
	// number in [Run].
	Name string

	Source    Source[In]
	Transform Transform[In, Out]
	Sink      Sink[Out]

	// DeadLetters takes the records that cannot be done: those that cannot be
	// decoded, fail permanently or too often, panic, or are too large to be
	// written. Without it (no Targets), such a record stops the stage with a
	// [*RecordError].
	DeadLetters Sink[DeadLetter]
	// DeadLetterLimit stops the stage when there are too many of them: then
	// it is not the records that are wrong. The zero value is no limit.
	DeadLetterLimit DeadLetterLimit

	// Workers is how many calls of Transform run at once at the most. Zero
	// means GOMAXPROCS; for a transform that waits on a network take more.
	Workers int
	// BatchSize is how many records one call of Transform gets at the most: a
	// free worker takes what waits, and does not wait for more. Zero means 1.
	BatchSize int
	// BatchWait lets a worker wait that long, after the first record, for a
	// batch to fill. Zero means not at all.
	BatchWait time.Duration
	// Delivery is what is promised about the results of each record; the zero
	// value is [AtLeastOnce].
	Delivery Delivery
	// TransactionalID names this stage of this process to the brokers, for
	// [ExactlyOnce] only. It must be another one for each process and each
	// stage, and the same one after a restart: a host name or a pod's ordinal
	// with the stage's name, for instance. A process that takes the ID of a
	// living one fences it.
	TransactionalID string
	// Order is what order is kept; the zero value is [ByKey].
	Order Order
	// Key, if set, gives the key that a result is written with. Otherwise the
	// input record's key travels on.
	Key func(Out) []byte

	// Retry says how often a record that failed is tried again.
	Retry Retry
	// MaxInFlight bounds the records that are in the stage at once: waiting,
	// in a transform, in a retry, or being written. When it is reached the
	// stage stops reading. It bounds throughput, too: so many records each time
	// that the brokers take to acknowledge a write. Zero means 16384, or twice
	// what all workers can take at once, whichever is more.
	MaxInFlight int
	// MaxInFlightBytes bounds them by the size of their keys, values and
	// headers, as they were read. One record is always let in. Zero means
	// 64 MiB.
	MaxInFlightBytes int
	// CommitInterval is how often progress is committed. Zero means 1 s; it
	// bounds what is done again after a crash. For [ExactlyOnce] it is how
	// long a transaction stays open, and so how late results become visible;
	// zero means 100 ms then. It must be at most half of the transaction's
	// time-out, which source and sink keep just below the group's session
	// time-out.
	CommitInterval time.Duration
	// DrainTimeout bounds how long the stage finishes what its workers have
	// begun when it is told to stop or loses a partition. Zero means 30 s.
	DrainTimeout time.Duration

	// StallTimeout stops the stage with a [*StallError] when one call of
	// Transform has not returned for that long (up to a tenth longer), even
	// where it ignores its context: nobody else would take the stage's
	// partitions away from a process that hangs. A supervisor then starts it
	// again. Take it well above the slowest call; for a call that minds its
	// context, [Timeout] fails the record only. Zero means never.
	//
	// In any case the log has a warning, with topic, partition and offset,
	// when a call takes longer than a minute (or half of StallTimeout), and
	// when the oldest record of a partition is not finished for that long,
	// because a writer never answers for instance; again each time that has
	// doubled.
	StallTimeout time.Duration

	// Logger gets what happens in the stage's life, not each record. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// Order is what a stage promises about the order of records.
type Order int

const (
	// ByKey transforms and writes the records of one key of one partition in
	// their order, and different keys side by side. Records without a key
	// have no order.
	ByKey Order = iota
	// ByPartition keeps the whole partition in order.
	ByPartition
	// Unordered keeps none.
	Unordered
)

// String gives the constant's name.
func (o Order) String() string {
	switch o {
	case ByKey:
		return "ByKey"
	case ByPartition:
		return "ByPartition"
	case Unordered:
		return "Unordered"
	}
	return fmt.Sprintf("Order(%d)", int(o))
}

// RecordError stops a stage: one record can't be done and there is nowhere to
// put it.
type RecordError struct {
	Stage     string
	Topic     string
	Partition int32
	Offset    int64
	Step      Step
	Attempts  int
	Err       error
}

// Error names the record and says what to do.
func (e *RecordError) Error() string {
	return fmt.Sprintf("stage %q: record %s/%d@%d: %s failed after %s: %v",
		e.Stage, e.Topic, e.Partition, e.Offset, e.Step, times(e.Attempts), e.Err)
}

// Unwrap gives the reason.
func (e *RecordError) Unwrap() error { return e.Err }

func times(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// settings are a stage's fields without its types, defaults filled in.
type settings struct {
	name           string
	delivery       Delivery
	txnID          string
	workers        int
	batchSize      int
	batchWait      time.Duration
	order          Order
	retry          Retry
	maxInFlight    int
	maxBytes       int
	deadLimit      DeadLetterLimit
	commitInterval time.Duration
	drainTimeout   time.Duration
	stallTimeout   time.Duration
	log            *slog.Logger
}

func (s *Stage[In, Out]) settings(n int) settings {
	c := settings{
		name:           cmp.Or(s.Name, fmt.Sprintf("stage %d", n)),
		delivery:       s.Delivery,
		txnID:          s.TransactionalID,
		workers:        cmp.Or(s.Workers, runtime.GOMAXPROCS(0)),
		batchSize:      cmp.Or(s.BatchSize, 1),
		batchWait:      s.BatchWait,
		order:          s.Order,
		retry:          s.Retry.withDefaults(),
		maxBytes:       cmp.Or(s.MaxInFlightBytes, 64<<20),
		deadLimit:      s.DeadLetterLimit,
		commitInterval: cmp.Or(s.CommitInterval, s.Delivery.commitInterval()),
		drainTimeout:   cmp.Or(s.DrainTimeout, 30*time.Second),
		stallTimeout:   s.StallTimeout,
		log:            cmp.Or(s.Logger, slog.Default()),
	}
	c.maxInFlight = cmp.Or(s.MaxInFlight, max(16384, 2*c.workers*c.batchSize))
	c.log = c.log.With("stage", c.name)
	return c
}

func (c settings) env() Env {
	return Env{
		Stage: c.name, Logger: c.log, Order: c.order, TransactionalID: c.txnID,
		CommitInterval: c.commitInterval, DrainTimeout: c.drainTimeout,
	}
}

// validate reports all that is wrong with the fields, each by its name.
func (s *Stage[In, Out]) validate() error {
	var errs []error
	wrong := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	wrong(s.Source.Open == nil || s.Source.Decode == nil, "Source: missing; take one of package source")
	wrong(s.Transform == nil, "Transform: missing")
	wrong(len(s.Sink.Targets) == 0 || s.Sink.Encode == nil, "Sink: missing; take one of package sink")
	wrong(len(s.DeadLetters.Targets) > 0 && s.DeadLetters.Encode == nil, "DeadLetters: has Targets but no Encode")
	wrong(s.DeadLetterLimit.Count < 0 || s.DeadLetterLimit.Within < 0, "DeadLetterLimit: negative")
	wrong((s.DeadLetterLimit.Count == 0) != (s.DeadLetterLimit.Within == 0), "DeadLetterLimit: needs both Count and Within")
	wrong(s.DeadLetterLimit.Count > 0 && len(s.DeadLetters.Targets) == 0, "DeadLetterLimit: there are no DeadLetters to limit")
	wrong(s.Workers < 0, "Workers: negative")
	wrong(s.BatchSize < 0, "BatchSize: negative")
	wrong(s.BatchWait < 0, "BatchWait: negative")
	wrong(s.Order < ByKey || s.Order > Unordered, fmt.Sprintf("Order: unknown value %d", int(s.Order)))
	if err := s.validateDelivery(); err != nil {
		errs = append(errs, err)
	}
	wrong(s.MaxInFlight < 0, "MaxInFlight: negative")
	wrong(s.MaxInFlight > 0 && s.MaxInFlight < max(1, s.BatchSize), "MaxInFlight: below BatchSize, so no batch could fill")
	wrong(s.MaxInFlightBytes < 0, "MaxInFlightBytes: negative")
	wrong(s.CommitInterval < 0, "CommitInterval: negative")
	wrong(s.DrainTimeout < 0, "DrainTimeout: negative")
	wrong(s.StallTimeout < 0, "StallTimeout: negative; zero is never")
	if err := s.Retry.validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *Stage[In, Out]) validateDelivery() error {
	switch s.Delivery {
	case AtLeastOnce:
		if s.TransactionalID != "" {
			return errors.New("TransactionalID: is for ExactlyOnce only; set Delivery, or leave it empty")
		}
		return nil
	case ExactlyOnce:
	default:
		return fmt.Errorf("Delivery: unknown value %d", int(s.Delivery))
	}
	var errs []error
	if s.TransactionalID == "" {
		errs = append(errs, errors.New("TransactionalID: missing; ExactlyOnce needs one, unique to this process and stage, and the same after a restart"))
	}
	if s.Source.Cluster == nil {
		errs = append(errs, errors.New("Source: ExactlyOnce needs source.Kafka; this one has no offsets that a transaction could commit"))
	} else if slices.ContainsFunc(s.targets(), func(t Target) bool { return t.Cluster != s.Source.Cluster }) {
		errs = append(errs, errors.New("Sink, DeadLetters: ExactlyOnce needs all of them on the source's cluster, given by the same *kafka.Cluster"))
	}
	return errors.Join(errs...)
}

// targets are the places this stage writes to: the sink's, then those of the
// dead letters.
func (s *Stage[In, Out]) targets() []Target {
	return append(append([]Target(nil), s.Sink.Targets...), s.DeadLetters.Targets...)
}

func (s *Stage[In, Out]) transactionalID() string { return s.TransactionalID }

func (s *Stage[In, Out]) check(ctx context.Context, n int) error {
	c := s.settings(n)
	if err := s.validate(); err != nil {
		return fmt.Errorf("stage %q is not set up right:\n%w", c.name, err)
	}
	checks := []func(context.Context, Env) error{s.Source.Check}
	for _, t := range s.targets() {
		checks = append(checks, t.Check)
	}
	// All at once: each may wait as long as its cluster's StartTimeout.
	errs := make([]error, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		if check != nil {
			all.Go(func() { errs[i] = check(ctx, c.env()) })
		}
	}
	all.Wait()
	// Both ends of a stage say it when their broker is away; once is enough.
	said := make(map[string]bool)
	errs = slices.DeleteFunc(errs, func(err error) bool {
		again := err == nil || said[err.Error()]
		if err != nil {
			said[err.Error()] = true
		}
		return again
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stage %q: %w", c.name, err)
	}
	return nil
}

func (s *Stage[In, Out]) run(ctx context.Context, n int) error {
	e := newEngine(s.settings(n))
	e.process = s.process()
	if len(s.DeadLetters.Targets) > 0 {
		base := len(s.Sink.Targets)
		e.bury = func(d DeadLetter) (out []Raw, err error) {
			defer recoverTo(&err)
			return encodeTo(&outputs{}, s.DeadLetters, base, d, &d.Record)
		}
	}
	return e.run(ctx, s.Source.Open, s.targets())
}
