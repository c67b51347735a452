package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/message"
	"github.com/millrace-go/millrace/stage"
)

// groupReader reads as a member of a consumer group. One goroutine keeps the
// membership, one a claim moves messages into the lane's queue, one listens to
// errors; Read takes from the queues.
//
// The claims always read on, whatever the stage does: sarama gives up
// partitions that are not read. A queue that stays long pauses its partition
// instead.
type groupReader struct {
	opts   options
	log    *slog.Logger
	notes  bool // a lane must not begin without its note
	client sarama.Client
	// offsets is another client, for commits: on the connection that joins, a
	// commit waits until all members have joined.
	offsets  sarama.Client
	group    sarama.ConsumerGroup
	patience time.Duration              // with a long queue; below what sarama has with a claim
	ends     map[string]map[int32]int64 // of a bounded run
	leave    context.CancelFunc
	gone     sync.WaitGroup

	commits sync.Mutex
	plain   bool // the broker takes no done map; under commits

	mu      sync.Mutex
	line    []*claimLane // lanes with records, the next one first
	lanes   map[*claimLane]struct{}
	session sarama.ConsumerGroupSession
	err     error
	woken   chan struct{}
}

// maxBatch is how many records the stage gets at once.
const maxBatch = 256

// A queue above these is long; a partition that was paused for that reads on
// at half of them.
const (
	queueRecords = 8192
	queueBytes   = 4 << 20
)

func (o *options) open(ctx context.Context, env stage.Env) (stage.Reader, error) {
	cfg, err := o.cluster.ConsumerConfig(o.start)
	if err != nil {
		return nil, err
	}
	// A stage drains, and then has half as long again for the commit.
	if r := cfg.Consumer.Group.Rebalance.Timeout; r <= env.DrainTimeout*3/2 {
		return nil, fmt.Errorf("source: Consumer.Group.Rebalance.Timeout (%v) must be above one and a half times the stage's DrainTimeout (%v), or the group throws this member out while it finishes a partition; raise the one or lower the other", r, env.DrainTimeout)
	}
	r := &groupReader{opts: *o, log: env.Logger, notes: env.Notes, lanes: make(map[*claimLane]struct{}), woken: make(chan struct{}, 1)}
	r.patience = min(cfg.Consumer.MaxProcessingTime/2, 50*time.Millisecond)
	if err := r.lookUp(ctx); err != nil {
		return nil, err
	}
	r.client, err = newGroupClient(o.cluster.Brokers, cfg)
	if err != nil {
		return nil, fmt.Errorf("source: consumer group %q: %w", o.group, err)
	}
	r.offsets, err = sarama.NewClient(o.cluster.Brokers, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("source: consumer group %q: %w", o.group, err), r.client.Close())
	}
	r.group, err = sarama.NewConsumerGroupFromClient(o.group, r.client)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("source: consumer group %q: %w", o.group, err), r.offsets.Close(), r.client.Close())
	}
	member, leave := context.WithCancel(context.WithoutCancel(ctx))
	r.leave = leave
	r.gone.Go(func() { r.listen(member) })
	r.gone.Go(func() { r.join(member) })
	return r, nil
}

// join keeps this process in the group until ctx ends.
func (r *groupReader) join(ctx context.Context) {
	pause := 100 * time.Millisecond
	for ctx.Err() == nil {
		begun := time.Now()
		err := r.group.Consume(ctx, r.opts.topics, r)
		switch {
		case ctx.Err() != nil || errors.Is(err, sarama.ErrClosedConsumerGroup):
			return
		case err == nil:
			continue // an eager rebalance: join again at once
		}
		if advice := r.hopeless(err); advice != "" {
			r.fail(r.refused(advice, err))
			return
		}
		if time.Since(begun) > time.Minute {
			pause = 100 * time.Millisecond
		}
		r.log.Warn("the consumer group is left and joined again", "group", r.opts.group, "pause", pause, "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// listen hears what goes wrong behind sarama's calls, commits above all.
func (r *groupReader) listen(ctx context.Context) {
	var last time.Time
	for err := range r.group.Errors() {
		if advice := r.hopeless(err); advice != "" && !r.passes(ctx, err) {
			r.fail(r.refused(advice, err))
			continue
		}
		if time.Since(last) > time.Second { // an outage brings hundreds
			last = time.Now()
			r.log.Warn("consumer group", "group", r.opts.group, "err", err)
		}
	}
}

func (r *groupReader) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.wake()
}

func (r *groupReader) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil
}

func (r *groupReader) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// Read takes what waits in the queue of the lane whose turn it is.
func (r *groupReader) Read(ctx context.Context) (stage.Batch, error) {
	for {
		b, err := r.poll()
		if err != nil || b.Lane != nil {
			return b, err
		}
		select {
		case <-r.woken:
		case <-ctx.Done():
			return stage.Batch{}, ctx.Err()
		}
	}
}

func (r *groupReader) poll() (stage.Batch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return stage.Batch{}, r.err
	}
	if len(r.line) == 0 {
		if r.finished() {
			return stage.Batch{}, io.EOF
		}
		return stage.Batch{}, nil
	}
	l := r.line[0]
	r.line = r.line[1:]
	b := stage.Batch{Lane: l, Records: l.queue[0]}
	l.queue[0] = nil // it is the stage's now
	l.queue, l.queued, l.delivered = l.queue[1:], false, true
	l.records -= len(b.Records)
	l.bytes -= size(b.Records)
	r.list(l)
	if !l.long() {
		select {
		case l.shorter <- struct{}{}:
		default:
		}
	}
	if l.paused && l.records <= queueRecords/2 && l.bytes <= queueBytes/2 {
		l.paused = false
		r.group.Resume(map[string][]int32{l.topic: {l.partition}})
	}
	return b, nil
}

// Setup is called when this process has joined.
func (r *groupReader) Setup(s sarama.ConsumerGroupSession) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session = s
	return nil
}

// Cleanup is called when it has left.
func (r *groupReader) Cleanup(sarama.ConsumerGroupSession) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session = nil
	return nil
}

// ConsumeClaim moves a partition's messages into its queue until it is taken
// away, then waits until the stage has let go of it. It never returns early:
// that would end the membership for all partitions.
func (r *groupReader) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	start, ok := r.startOf(s.Context(), c)
	if !ok {
		return nil // the session is over
	}
	l := &claimLane{
		reader: r, session: s, topic: c.Topic(), partition: c.Partition(),
		start:   start,
		revoked: make(chan struct{}), released: make(chan struct{}), shorter: make(chan struct{}, 1),
	}
	r.mu.Lock()
	r.lanes[l] = struct{}{}
	r.mu.Unlock()

	r.fetch(s, c, l)

	r.mu.Lock()
	delete(r.lanes, l)
	l.queue, l.records, l.bytes = nil, 0, 0 // whoever gets the partition next reads these
	r.unlist(l)
	if l.paused { // a pause outlives the claim
		r.group.Resume(map[string][]int32{l.topic: {l.partition}})
	}
	delivered := l.delivered
	r.wake()
	r.mu.Unlock()

	close(l.revoked)
	if delivered {
		<-l.released // within the stage's DrainTimeout
	}
	r.end()
	return nil
}

// fetch fills the queue until the claim or the session ends.
func (r *groupReader) fetch(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim, l *claimLane) {
	bound := r.bound(l, c)
	for {
		if bound.reached(c) {
			r.mu.Lock()
			l.atEnd = true
			r.wake()
			r.mu.Unlock()
		}
		select {
		case m, ok := <-c.Messages():
			if !ok {
				return
			}
			// What is there by now comes along. Nobody else takes of it.
			more := min(len(c.Messages()), maxBatch-1)
			recs := make([]stage.Raw, 1, 1+more)
			recs[0] = message.FromConsumer(m)
			for range more {
				if m, ok := <-c.Messages(); ok {
					recs = append(recs, message.FromConsumer(m))
				}
			}
			if r.enqueue(l, bound.cut(recs)) {
				r.hold(s.Context(), l)
			}
		case <-bound.idle():
		case <-s.Context().Done():
			return
		}
	}
}

// enqueue adds to a lane's queue, and reports whether that has become long.
func (r *groupReader) enqueue(l *claimLane, recs []stage.Raw) (long bool) {
	if len(recs) == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l.queue = append(l.queue, recs)
	l.records += len(recs)
	l.bytes += size(recs)
	r.list(l)
	return l.long() && !l.paused
}

// hold waits a moment for a long queue to become shorter, and pauses the
// partition if it does not. A pause is not for short whiles: sarama looks
// whether one is over only between fetches, which wait for other partitions,
// or every 100 ms where all are paused.
func (r *groupReader) hold(ctx context.Context, l *claimLane) {
	patience := time.NewTimer(r.patience)
	defer patience.Stop()
	for waiting := true; waiting; {
		select {
		case <-l.shorter: // perhaps of before
			waiting = r.isLong(l)
		case <-patience.C:
			waiting = false
		case <-ctx.Done():
			return
		}
	}
	r.pause(l)
}

// pause pauses a partition whose queue is long.
func (r *groupReader) pause(l *claimLane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.long() {
		l.paused = true
		r.group.Pause(map[string][]int32{l.topic: {l.partition}})
	}
}

func (r *groupReader) isLong(l *claimLane) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return l.long()
}

// size is what records take in memory, nearly.
func size(recs []stage.Raw) (n int) {
	for i := range recs {
		n += len(recs[i].Key) + len(recs[i].Value)
	}
	return n
}

// list puts a lane at the end of the line if it has something for the stage.
// The caller holds the lock.
func (r *groupReader) list(l *claimLane) {
	if !l.queued && !l.held && len(l.queue) > 0 {
		l.queued = true
		r.line = append(r.line, l)
		r.wake()
	}
}

// unlist takes a lane out of the line. The caller holds the lock.
func (r *groupReader) unlist(l *claimLane) {
	l.queued = false
	r.line = slices.DeleteFunc(r.line, func(waiting *claimLane) bool { return waiting == l })
}

// Close leaves the group.
func (r *groupReader) Close(ctx context.Context) error {
	r.leave()
	done := make(chan error, 1)
	go func() {
		err := r.group.Close()
		r.gone.Wait()
		done <- errors.Join(err, r.offsets.Close(), r.client.Close())
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("source: leave consumer group %q: %w", r.opts.group, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("source: leave consumer group %q: %w", r.opts.group, ctx.Err())
	}
}
