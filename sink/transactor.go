package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/member"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// transactor writes in transactions. Whatever goes wrong, it goes the same
// way: it throws its producer away and makes another one with the same
// transactional id. The broker then settles what the old one left open, and
// the committed offsets say how.
type transactor struct {
	cluster *kafka.Cluster
	config  *sarama.Config
	env     stage.Env
	sizes   sizes
	budget  time.Duration // of a commit: then its outcome counts as unknown
	log     *slog.Logger

	closing sync.WaitGroup
	fenced  []time.Time

	mu       sync.Mutex             // a Write that blocks may meet Abort
	producer *producer              // nil: to be made
	refused  *atomic.Pointer[error] // a write of the open transaction that was fenced
}

// Processes that share a transactional id by mistake fence each other without
// end. A producer that the broker gave up for being silent is fenced too, but
// not that often.
const (
	maxFenced    = 5
	fencedWindow = 5 * time.Minute
)

// commitBudget is how long a commit may take. A lane that is taken away holds
// its group up while it drains and its transaction ends; half of what
// Rebalance.Timeout leaves for that end is for the commit, the other half to
// find out what became of it.
func commitBudget(cfg *sarama.Config, drain time.Duration) time.Duration {
	return min(15*time.Second, (cfg.Consumer.Group.Rebalance.Timeout-drain)/2)
}

// Begin begins a transaction, with a new producer if there is none.
func (t *transactor) Begin(ctx context.Context) error {
	if err := t.revive(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	t.refused = new(atomic.Pointer[error])
	t.mu.Unlock()
	if err := t.producer.async.BeginTxn(); err != nil {
		t.discard()
		return t.judge("begin", err)
	}
	return nil
}

func (t *transactor) Write(recs []stage.Raw, done func(i int, err error)) {
	t.mu.Lock()
	p, refused := t.producer, t.refused // an answer may come in a later transaction
	t.mu.Unlock()
	if p == nil {
		fail(recs, done)
		return
	}
	p.Write(recs, func(i int, err error) {
		if isFencing(err) {
			fenced := err // so that only this one escapes to the heap
			refused.Store(&fenced)
		}
		done(i, err)
	})
}

// Commit commits what was written, and the marks.
func (t *transactor) Commit(ctx context.Context, marks map[stage.Lane]stage.Mark) error {
	group, want, err := t.addOffsets(marks)
	if err != nil {
		t.discard()
		return t.judge("add offsets", err)
	}
	if err = within(ctx, t.budget, t.producer.async.CommitTxn); err == nil {
		return nil
	}
	// It may have taken effect all the same.
	t.discard()
	err = t.judge("commit", err)
	if stage.IsPermanent(err) {
		return err
	}
	if done, look := t.settled(ctx, group, want); look != nil {
		return errors.Join(err, look)
	} else if done {
		t.log.Info("a transaction has taken effect although its commit failed", "err", err)
		return nil
	}
	return err
}

// Abort forgets the transaction. No offset was sent to the broker yet, so
// nobody waits for it; the next producer's start undoes it. Its error is that
// there must be no next one.
func (t *transactor) Abort(context.Context) error {
	t.discard()
	if refused := t.refused.Load(); refused != nil {
		if err := t.judge("write", *refused); stage.IsPermanent(err) {
			return err
		}
	}
	return nil
}

// Close ends the producer.
func (t *transactor) Close(ctx context.Context) error {
	t.discard()
	done := make(chan struct{})
	go func() {
		t.closing.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sink: the producer still waits for the broker: %w", ctx.Err())
	}
}

// addOffsets adds the marks to the transaction. The member's metadata is
// taken here, just before the commit, while the stage holds every lane.
func (t *transactor) addOffsets(marks map[stage.Lane]stage.Mark) (group string, want map[member.Partition]int64, err error) {
	want = make(map[member.Partition]int64)
	for l, m := range marks {
		lane, ok := l.(member.Lane)
		if !ok {
			return "", nil, stage.Permanent(fmt.Errorf("sink: a transaction can't commit offsets of a %T", l))
		}
		topic, partition := l.ID()
		meta := lane.Metadata()
		group = meta.GroupID
		want[member.Partition{Topic: topic, ID: partition}] = m.Offset
		err = t.producer.async.AddOffsetsToTxnWithGroupMetadata(map[string][]*sarama.PartitionOffsetMetadata{
			topic: {{Partition: partition, Offset: m.Offset, LeaderEpoch: -1}},
		}, meta)
		if err != nil {
			return group, want, err
		}
	}
	return group, want, nil
}

// settled reports whether a transaction whose commit failed has taken effect.
// A new producer's start has made the broker decide; that the offsets are
// there says how, since they came with all the rest or not at all.
func (t *transactor) settled(ctx context.Context, group string, want map[member.Partition]int64) (bool, error) {
	for try := 0; ; try++ {
		err := t.revive(ctx)
		if err == nil {
			var marks map[member.Partition]stage.Mark
			ask := make([]member.Partition, 0, len(want))
			for p := range want {
				ask = append(ask, p)
			}
			if marks, err = member.Committed(t.producer.client, group, ask...); err == nil {
				for p, offset := range want {
					if marks[p].Offset < offset {
						return false, t.readable(ctx, want)
					}
				}
				return true, nil
			}
		}
		if stage.IsPermanent(err) {
			return false, err
		}
		if err := t.pause(ctx, try, err); err != nil {
			return false, err
		}
	}
}

// readable fails if a topic that the marks are of is gone: their commit would be
// tried without end. The source hears of it too, but only while it fetches.
func (t *transactor) readable(ctx context.Context, want map[member.Partition]int64) error {
	for p := range want {
		if t.producer.topics.gone(ctx, p.Topic) {
			return stage.Permanent(fmt.Errorf("sink: topic %q, whose offsets the transaction commits, does not exist any more; create it again, or stop reading it: %w", p.Topic, sarama.ErrUnknownTopicOrPartition))
		}
	}
	return nil
}

// revive makes a producer if there is none, trying until ctx ends.
func (t *transactor) revive(ctx context.Context) error {
	for try := 0; t.producer == nil; try++ {
		p, err := newProducer(ctx, t.cluster.Brokers, t.config, t.sizes, t.env)
		if err == nil {
			t.mu.Lock()
			t.producer = p
			t.mu.Unlock()
			return nil
		}
		if err := t.judge("start", err); stage.IsPermanent(err) {
			return err
		}
		if err := t.pause(ctx, try, err); err != nil {
			return err
		}
	}
	return nil
}

func (t *transactor) pause(ctx context.Context, try int, err error) error {
	if try%10 == 1 {
		t.log.Warn("the transactional producer can't start and tries again", "id", t.config.Producer.Transaction.ID, "err", err)
	}
	select {
	case <-time.After(min(5*time.Second, 100*time.Millisecond<<min(try, 10))):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sink: transactional producer %q: %w", t.config.Producer.Transaction.ID, errors.Join(ctx.Err(), err))
	}
}

// discard throws the producer away, with all that is under way. It ends by
// itself, in its own time.
func (t *transactor) discard() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.producer; p != nil {
		t.producer = nil
		t.closing.Go(func() {
			p.end()
			p.finish()
		})
	}
}

// judge says what an error means for the stage.
func (t *transactor) judge(what string, err error) error {
	id := t.config.Producer.Transaction.ID
	err = fmt.Errorf("sink: transactional producer %q: %s: %w", id, what, err)
	if isOneOf(err, sarama.ErrTransactionalIDAuthorizationFailed, sarama.ErrGroupAuthorizationFailed, sarama.ErrClusterAuthorizationFailed,
		sarama.ErrSASLAuthenticationFailed, sarama.ErrInvalidTransactionTimeout, sarama.ErrUnsupportedVersion) {
		return stage.Permanent(err)
	}
	if isOneOf(err, sarama.ErrIllegalGeneration, sarama.ErrUnknownMemberId, sarama.ErrFencedInstancedId) {
		return fmt.Errorf("%w: %w", stage.ErrFenced, err)
	}
	if !isFencing(err) {
		return err
	}
	now := time.Now()
	t.fenced = append(t.fenced, now)
	for now.Sub(t.fenced[0]) > fencedWindow {
		t.fenced = t.fenced[1:]
	}
	if len(t.fenced) > maxFenced {
		return stage.Permanent(fmt.Errorf("sink: transactional id %q was taken over %d times within %v: another process uses it, or this one often hangs for longer than Producer.Transaction.Timeout (%v); give each process its own Stage.TransactionalID: %w", id, len(t.fenced), fencedWindow, t.config.Producer.Transaction.Timeout, err))
	}
	return err
}

// isFencing reports whether a newer producer has the transactional id, or the
// coordinator has ended the transaction itself and shut this one out.
func isFencing(err error) bool {
	return isOneOf(err, sarama.ErrProducerFenced, sarama.ErrInvalidProducerEpoch)
}

func isOneOf(err error, of ...error) bool {
	for _, e := range of {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// within runs a commit, which takes no context, for as long as it may take. A
// call that has not returned by then goes on by itself; the next producer's
// start makes it fail.
func within(ctx context.Context, budget time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}
