package stage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// ledger is a transactional target in memory: what is published in it, and
// the marks of the source, change together or not at all.
type ledger struct {
	src   stagetest.Source[string]
	fault func(op string, r stage.Raw) error // what goes wrong
	// If set, whether a write is never answered.
	silent func(stage.Raw) bool
	// If set, called at the begin of each commit, from 1; its error is what
	// Commit says, and took whether the transaction has taken effect.
	outcome func(ctx context.Context, nth int) (took bool, err error)

	mu        sync.Mutex
	reader    stage.Reader
	inTxn     bool
	open      []stage.Raw
	published []stage.Raw
	asked     int // commits that were begun
	commits   int
	aborts    int
	largest   int
	faults    map[string]int
}

func (l *ledger) source() stage.Source[string] {
	s := l.src.Source()
	open := s.Open
	s.Open = func(ctx context.Context, env stage.Env) (r stage.Reader, err error) {
		l.reader, err = open(ctx, env)
		return l.reader, err
	}
	return s
}

func (l *ledger) targets() []stage.Target {
	return []stage.Target{{
		Share: l, Cluster: &l.src,
		Open: func(context.Context, stage.Env) (stage.Writer, error) { return l, nil },
	}}
}

func (l *ledger) sink() stage.Sink[string] {
	return stage.Sink[string]{Targets: l.targets(), Encode: func(v string, in *stage.Raw, emit func(int, stage.Raw)) error {
		emit(0, stage.Raw{Topic: "out", Partition: in.Partition, Offset: in.Offset, Key: in.Key, Value: []byte(v)})
		return nil
	}}
}

func (l *ledger) deadLetters() stage.Sink[stage.DeadLetter] {
	return stage.Sink[stage.DeadLetter]{Targets: l.targets(), Encode: func(d stage.DeadLetter, in *stage.Raw, emit func(int, stage.Raw)) error {
		emit(0, stage.Raw{Topic: "dead", Partition: in.Partition, Offset: in.Offset, Key: in.Key, Value: fmt.Appendf(nil, "%d", in.Offset)})
		return nil
	}}
}

func (l *ledger) fails(op string, r stage.Raw) error {
	if l.fault == nil {
		return nil
	}
	err := l.fault(op, r)
	if err != nil {
		if l.faults == nil {
			l.faults = make(map[string]int)
		}
		l.faults[op]++
	}
	return err
}

func (l *ledger) Begin(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inTxn {
		panic("a transaction in a transaction")
	}
	if err := l.fails("begin", stage.Raw{}); err != nil {
		return err
	}
	l.inTxn = true
	return nil
}

func (l *ledger) Write(recs []stage.Raw, done func(int, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.inTxn {
		panic("written outside of a transaction")
	}
	errs, silent := make([]error, len(recs)), make([]bool, len(recs))
	for i, r := range recs {
		silent[i] = l.silent != nil && l.silent(r)
		if errs[i] = l.fails("write", r); errs[i] == nil {
			l.open = append(l.open, r)
		}
	}
	go func() {
		time.Sleep(2 * time.Millisecond)
		for i, err := range errs {
			if !silent[i] {
				done(i, err)
			}
		}
	}()
}

func (l *ledger) end() {
	if !l.inTxn {
		panic("there is no transaction to end")
	}
	l.inTxn, l.open = false, nil
}

func (l *ledger) Commit(ctx context.Context, marks map[stage.Lane]stage.Mark) error {
	time.Sleep(3 * time.Millisecond)
	took, said := true, error(nil)
	l.mu.Lock()
	l.asked++
	nth := l.asked
	l.mu.Unlock()
	if l.outcome != nil {
		took, said = l.outcome(ctx, nth)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.end()
	if err := l.fails("commit", stage.Raw{}); err != nil {
		return err
	}
	l.inspect(marks)
	if !took {
		return said
	}
	l.published = append(l.published, l.open...)
	l.largest = max(l.largest, len(l.open))
	l.commits++
	return errors.Join(said, l.reader.Commit(context.WithoutCancel(ctx), marks))
}

// inspect holds a commit against what it may contain: only outputs of records
// below the marks of lanes that the stage still holds.
func (l *ledger) inspect(marks map[stage.Lane]stage.Mark) {
	below := make(map[int32]int64)
	for lane, m := range marks {
		select {
		case <-lane.(interface{ Released() <-chan struct{} }).Released():
			panic("a commit for a lane that was released")
		default:
		}
		if m.Done != "" {
			panic("a done map in a transaction")
		}
		_, p := lane.ID()
		below[p] = m.Offset
	}
	for _, r := range l.open {
		if r.Offset >= below[r.Partition] {
			panic("an output without its mark")
		}
	}
}

func (l *ledger) Abort(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aborts++
	l.end()
	return nil
}

func (l *ledger) Close(context.Context) error { return nil }

func (l *ledger) counts() (commits, largest int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commits, l.largest
}

func (l *ledger) topic(name string) (recs []stage.Raw) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.published {
		if r.Topic == name {
			recs = append(recs, r)
		}
	}
	return recs
}

func exactly(l *ledger, f func(context.Context, string) (string, error)) *stage.Stage[string, string] {
	return &stage.Stage[string, string]{
		Name: "exact", Source: l.source(), Transform: stage.Map(f), Sink: l.sink(), DeadLetters: l.deadLetters(),
		Delivery: stage.ExactlyOnce, TransactionalID: "test",
		Workers: 8, Logger: slog.New(slog.DiscardHandler),
	}
}

// TestExactlyOnce: whatever fails, is taken away and comes back, each record
// is published once, in the order of its partition, and never without its
// mark.
func TestExactlyOnce(t *testing.T) {
	for _, order := range []stage.Order{stage.ByKey, stage.ByPartition, stage.Unordered} {
		for _, batch := range []int{1, 7} {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%v/batch %d/seed %d", order, batch, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testExactlyOnce(t, order, batch, seed) })
			})
		}
	}
}

func testExactlyOnce(t *testing.T, order stage.Order, batch int, seed uint64) {
	const records, partitions = 3000, 3
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 0))
	chance := func(p float64) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.Float64() < p
	}
	l := &ledger{}
	refused := make(map[string]bool) // by value: written never
	l.fault = func(op string, r stage.Raw) error {
		switch {
		case op == "begin" && (l.faults[op] == 0 || chance(0.05)):
			return errors.New("the broker is away")
		case op == "write" && r.Topic == "out" && refused[string(r.Value)]:
			return stage.Permanent(errors.New("too large"))
		case op == "write" && chance(0.002):
			return fmt.Errorf("%w: timed out", stage.ErrUnavailable)
		case op == "commit" && (l.faults[op] == 0 || chance(0.05)):
			return stage.ErrFenced
		case op == "commit" && chance(0.05):
			return errors.New("the coordinator moved")
		}
		return nil
	}
	var in [partitions][]string
	for i := range records {
		p := i % partitions
		v := fmt.Sprintf("%d:%d", i%13, i)
		if i%97 == 0 {
			refused[v] = true
		}
		in[p] = append(in[p], v)
		l.src.Push(int32(p), []byte(strconv.Itoa(i%13)), v)
	}
	s := exactly(l, func(_ context.Context, v string) (string, error) {
		time.Sleep(time.Duration(len(v)%5) * time.Millisecond)
		if strings.HasSuffix(v, "55") && chance(0.5) {
			return "", errors.New("try again")
		}
		if strings.HasSuffix(v, "77") {
			return "", stage.Permanent(errors.New("never"))
		}
		if strings.HasSuffix(v, "99") {
			return "", stage.ErrSkip
		}
		return v, nil
	})
	s.Order, s.BatchSize, s.MaxInFlight = order, batch, 200
	s.Retry = stage.Retry{Backoff: 5 * time.Millisecond, MaxBackoff: 20 * time.Millisecond, Attempts: stage.Forever}
	s.DrainTimeout = 20 * time.Millisecond
	done := make(chan error)
	go func() { done <- stage.Run(t.Context(), s) }()
	revokes := 0
	for !allCommitted(l, in[:]) {
		time.Sleep(25 * time.Millisecond)
		p := int32(revokes % partitions)
		l.src.Revoke(p)
		revokes++
		time.Sleep(5 * time.Millisecond)
		l.src.Assign(p)
		time.Sleep(60 * time.Millisecond)
		if revokes > 5000 {
			t.Fatalf("it does not get done: committed %d, %d, %d", l.src.Committed(0), l.src.Committed(1), l.src.Committed(2))
		}
	}
	l.src.End()
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	want, dead := make([][]string, partitions), make([][]string, partitions)
	for p, vs := range in {
		for offset, v := range vs {
			switch {
			case strings.HasSuffix(v, "99"):
			case strings.HasSuffix(v, "77") || refused[v]:
				dead[p] = append(dead[p], strconv.Itoa(offset))
			default:
				want[p] = append(want[p], v)
			}
		}
	}
	for p := range partitions {
		if got := byPartition(l.topic("out"), p); !slices.Equal(got, want[p]) {
			t.Errorf("partition %d: %d records published, want %d; the first difference at %d", p, len(got), len(want[p]), firstDifference(got, want[p]))
		}
		if got := byPartition(l.topic("dead"), p); !slices.Equal(got, dead[p]) {
			t.Errorf("partition %d: dead letters %v, want %v", p, got, dead[p])
		}
	}
	if l.faults["begin"] == 0 || l.faults["write"] == 0 || l.faults["commit"] == 0 || l.aborts == 0 || revokes == 0 {
		t.Errorf("faults %v, %d aborts, %d revokes: not all of them happened", l.faults, l.aborts, revokes)
	}
	t.Logf("%d commits, %d aborts, %d revokes, faults %v", l.commits, l.aborts, revokes, l.faults)
}

func allCommitted(l *ledger, in [][]string) bool {
	for p, vs := range in {
		if l.src.Committed(int32(p)) < int64(len(vs)) {
			return false
		}
	}
	return true
}

func byPartition(recs []stage.Raw, p int) (values []string) {
	for _, r := range recs {
		if int(r.Partition) == p {
			values = append(values, string(r.Value))
		}
	}
	return values
}

func firstDifference(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestTransactionIsBounded: a transaction ends after CommitInterval, or when
// half of MaxInFlight is in it, so that transforms go on beside its commit.
func TestTransactionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		s := exactly(l, same)
		s.MaxInFlight = 100
		s.CommitInterval = time.Minute
		for i := range 200 {
			l.src.Push(0, nil, strconv.Itoa(i))
		}
		done := make(chan error)
		go func() { done <- stage.Run(t.Context(), s) }()
		time.Sleep(time.Second)
		if n, largest := l.counts(); n != 4 || largest != 50 {
			t.Errorf("%d commits, the largest of %d records; want 4 of 50", n, largest)
		}
		l.src.Push(0, nil, "late")
		time.Sleep(30 * time.Second)
		if n, _ := l.counts(); n != 4 {
			t.Errorf("%d commits; want none before CommitInterval", n-4)
		}
		time.Sleep(31 * time.Second)
		if n, _ := l.counts(); n != 5 {
			t.Errorf("%d commits; want one after CommitInterval", n-4)
		}
		l.src.End()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestSlowRecordDelaysPublicationNotTransforms is what exactly once costs, and
// all it costs.
func TestSlowRecordDelaysPublicationNotTransforms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		var calls atomic.Int64
		s := exactly(l, func(_ context.Context, v string) (string, error) {
			calls.Add(1)
			if v == "0" {
				time.Sleep(10 * time.Second)
			}
			return v, nil
		})
		for i := range 50 {
			l.src.Push(0, []byte{byte(i)}, strconv.Itoa(i))
		}
		l.src.Push(1, nil, "other")
		done := make(chan error)
		go func() { done <- stage.Run(t.Context(), s) }()
		time.Sleep(5 * time.Second)
		if got := byPartition(l.topic("out"), 1); calls.Load() != 51 || len(l.topic("out")) != 1 || len(got) != 1 {
			t.Errorf("%d transforms, %d published, %d of them of the other partition; want 51, 1, 1", calls.Load(), len(l.topic("out")), len(got))
		}
		l.src.End()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := byPartition(l.topic("out"), 0); len(got) != 50 || calls.Load() != 51 {
			t.Errorf("%d published after %d transforms", len(got), calls.Load())
		}
	})
}

// TestFatalTransactionStopsTheStage: the writer can't go on, its process was
// fenced for instance.
func TestFatalTransactionStopsTheStage(t *testing.T) {
	for _, op := range []string{"begin", "commit"} {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{}
			l.fault = func(at string, _ stage.Raw) error {
				if at == op {
					return stage.Permanent(errors.New("another process uses the id"))
				}
				return nil
			}
			s := exactly(l, same)
			for i := range 500 {
				l.src.Push(0, nil, strconv.Itoa(i))
			}
			err := stage.Run(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), "another process") {
				t.Errorf("%s: error %v", op, err)
			}
			if len(l.published) != 0 || l.src.Committed(0) != 0 {
				t.Errorf("%s: %d published, %d committed", op, len(l.published), l.src.Committed(0))
			}
		})
	}
}

func TestExactlyOnceIsValidated(t *testing.T) {
	l := &ledger{}
	s := exactly(l, same)
	s.TransactionalID = ""
	var lines stagetest.Sink[stage.DeadLetter]
	s.DeadLetters = lines.Sink()
	err := stage.Check(t.Context(), s)
	for _, want := range []string{"TransactionalID: missing", "all of them on the source's cluster"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q in it", err, want)
		}
	}
	s.Delivery = stage.AtLeastOnce
	s.TransactionalID = "x"
	if err := stage.Check(t.Context(), s); err == nil || !strings.Contains(err.Error(), "TransactionalID: is for ExactlyOnce") {
		t.Errorf("error %v", err)
	}

	s.Delivery, s.DeadLetters = stage.ExactlyOnce, stage.Sink[stage.DeadLetter]{}
	other := exactly(&ledger{}, same)
	other.TransactionalID = "x"
	if err := stage.Check(t.Context(), s, exactly(&ledger{}, same), other); err == nil || !strings.Contains(err.Error(), `stages 1 and 3 have the same TransactionalID "x"`) {
		t.Errorf("error %v", err)
	}
}
