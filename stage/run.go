package stage

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Runner is a [*Stage] of any types.
type Runner interface {
	check(ctx context.Context, n int) error
	run(ctx context.Context, n int) error
	transactionalID() string
}

// Run checks the stages (see [Check]) and runs them until ctx ends, every
// source is at its end, or one stage fails, which stops the others too.
//
// When ctx ends the stages stop reading, finish what their workers have begun
// within [Stage.DrainTimeout], commit, and leave their consumer groups. Run
// returns nil after such a clean drain, and otherwise what went wrong: nothing
// is lost by that, records that were not finished are read again by the next
// run.
func Run(ctx context.Context, stages ...Runner) error {
	if err := Check(ctx, stages...); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before anything began
		}
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return each(stages, func(n int, s Runner) error {
		err := s.run(ctx, n)
		if err != nil {
			stop()
		}
		return err
	})
}

// Check reports everything that would keep the stages from working: fields
// that are wrong, brokers that do not answer, topics that are missing. It
// writes and commits nothing. [Run] does the same first.
func Check(ctx context.Context, stages ...Runner) error {
	if len(stages) == 0 {
		return errors.New("stage: nothing to run; give Run at least one stage")
	}
	return errors.Join(ownIDs(stages), each(stages, func(n int, s Runner) error { return s.check(ctx, n) }))
}

// ownIDs finds stages that would fence each other without end.
func ownIDs(stages []Runner) error {
	first := make(map[string]int)
	var errs []error
	for i, s := range stages {
		id := s.transactionalID()
		if id == "" {
			continue
		}
		if j, taken := first[id]; taken {
			errs = append(errs, fmt.Errorf("stage: stages %d and %d have the same TransactionalID %q; give each its own", j+1, i+1, id))
			continue
		}
		first[id] = i
	}
	return errors.Join(errs...)
}

// each calls f for all stages at once and joins their errors, in their order.
func each(stages []Runner, f func(n int, s Runner) error) error {
	errs := make([]error, len(stages))
	var all sync.WaitGroup
	for i, s := range stages {
		all.Go(func() { errs[i] = f(i+1, s) })
	}
	all.Wait()
	return errors.Join(errs...)
}
