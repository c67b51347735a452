//go:build !race

// sarama's transaction manager writes its last error under one lock and reads
// it without: with -race every transaction that fails would fail the test. The
// engine is under -race in stage's own tests.

package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-go/millrace/internal/witness"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

const (
	partitions     = 4
	inFlight       = 256 // of a member
	sessionTimeout = 2 * time.Second
)

// rig is a broker, a topic that is fed, and members of a group that pass its
// records on.
type rig struct {
	t        *testing.T
	broker   *kafkatest.Broker
	admin    *kgo.Client
	delivery stage.Delivery
	commit   time.Duration // the members' CommitInterval
	rng      *rand.Rand
	feed     *witness.Feed
	work     *work
	failed   chan error // members that ended by themselves

	members []*member // that live
	started int
	faults  int
	again   int // how many records the faults may have brought again

	mu  sync.Mutex
	all map[string]*member // by client id, the dead ones too
}

func newRig(t *testing.T, delivery stage.Delivery) *rig {
	b, err := kafkatest.New(kafkatest.Options{Nodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	for _, topic := range []string{"in", "out"} {
		if err := b.CreateTopic(topic, partitions); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := kgo.NewClient(kgo.SeedBrokers(b.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	r := &rig{
		t: t, broker: b, admin: admin, delivery: delivery, commit: 50 * time.Millisecond,
		rng:    rand.New(rand.NewPCG(seed(t), 0)),
		feed:   &witness.Feed{Brokers: b.Addrs(), Topic: "in", Keys: 50},
		work:   &work{made: make(map[string]int)},
		failed: make(chan error, 100),
		all:    make(map[string]*member),
	}
	t.Cleanup(r.feed.Close)
	if err := r.feed.Open(t.Context()); err != nil { // nothing is broken yet
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var keeping sync.WaitGroup
	keeping.Go(func() { r.keepGroup(ctx) })
	t.Cleanup(func() {
		for _, m := range r.all {
			m.told.Store(true)
			m.stop()
			<-m.done
		}
		stop()
		keeping.Wait()
	})
	return r
}

// seed is what a scenario's dice begin with: CHAOS_SEED, or another one each
// time. It decides whom a fault strikes and when; what the network and the
// scheduler do, it does not.
func seed(t *testing.T) uint64 {
	s := rand.Uint64()
	if set := os.Getenv("CHAOS_SEED"); set != "" {
		var err error
		if s, err = strconv.ParseUint(set, 10, 64); err != nil {
			t.Fatalf("CHAOS_SEED: %v", err)
		}
	}
	fmt.Printf("%s: CHAOS_SEED=%d\n", t.Name(), s)
	return s
}

// size is how often a scenario runs its rounds: SIZE=full is for a long look.
func size() int {
	if os.Getenv("SIZE") == "full" {
		return 5
	}
	return 1
}

// records counts those of all scenarios.
var records atomic.Int64

// scenario feeds records while disturb breaks something, each round anew; then
// it waits until all records came out, or nothing more comes, and judges. What
// disturb breaks, it breaks by strike.
func (r *rig) scenario(name string, rounds, perRound int, disturb func(round int)) {
	r.t.Helper()
	rounds *= size()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Duration(size())*3*time.Minute)
	defer cancel()
	begun := time.Now()
	for i := range 3 {
		r.start(i)
		r.stable()
	}
	for round := range rounds {
		var feeding sync.WaitGroup
		over := make(chan struct{})
		feeding.Go(func() {
			for i, going := 0, true; going || i < 10; i++ {
				n := perRound / 10
				if i >= 10 {
					n = 10 // so that there is something to do until it is over
				}
				if err := r.feed.Send(ctx, n); err != nil {
					r.t.Error(err)
					return
				}
				select {
				case <-over:
					going = false
				default:
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		before := r.faults
		func() { // to its end, also where disturb ends the test
			defer feeding.Wait()
			defer close(over)
			disturb(round)
		}()
		if r.faults == before {
			r.t.Errorf("round %d: no fault has happened", round)
		}
	}
	r.settle(ctx)
	r.alive()
	for _, m := range append([]*member(nil), r.members...) {
		r.leave(m)
	}
	v, rewritten, err := r.look(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	records.Add(int64(v.Sent))
	fmt.Println(v.Line(strings.ReplaceAll(name+" "+strings.ToLower(r.delivery.String()), " ", "-"), r.faults, time.Since(begun)),
		fmt.Sprintf("rewritten=%d bound=%d", rewritten, r.again))
	r.judge(v)
}

// strike does something that breaks; breaks returns how many faults have
// happened: not how many it tried. That may bring again what is finished and
// not committed meanwhile, at most, and what each fault finds in flight of a
// member.
func (r *rig) strike(breaks func() (faults int)) {
	stop := make(chan struct{})
	most := make(chan int, 1)
	go func() {
		n := 0
		for {
			committed := r.committed() // first, as both only grow
			n = max(n, r.work.begun()-committed)
			select {
			case <-stop:
				most <- n
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	n := func() int {
		defer close(stop)
		return breaks()
	}()
	r.faults += n
	r.again += <-most + n*inFlight
}

// look compares what came out with what went in. rewritten are those of the
// duplicates that no transform has made: a produce failed, its record was
// written all the same, and was written again. (A record whose transform ran
// again as well hides that.)
func (r *rig) look(ctx context.Context) (v witness.Verdict, rewritten int, err error) {
	v, times, err := witness.Judge(ctx, r.feed, "out")
	return v, r.work.rewritten(times), err
}

// alive fails the test if a member has ended by itself.
func (r *rig) alive() {
	r.t.Helper()
	select {
	case err := <-r.failed:
		r.t.Fatalf("a member stopped by itself: %v", err)
	default:
	}
}

// settle waits until all records came out, and gives up after half a minute
// without a new one.
func (r *rig) settle(ctx context.Context) {
	lost, quiet := -1, time.Now()
	for ; time.Since(quiet) < 30*time.Second; time.Sleep(300 * time.Millisecond) {
		v, _, err := r.look(ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		if v.Lost == 0 {
			return
		}
		if v.Lost != lost {
			lost, quiet = v.Lost, time.Now()
		}
	}
}

// judge holds the verdict against what the delivery promises.
func (r *rig) judge(v witness.Verdict) {
	r.t.Helper()
	if v.Lost != 0 || v.Reordered != 0 || v.Foreign != 0 {
		r.t.Errorf("%d lost, %d reordered, %d foreign", v.Lost, v.Reordered, v.Foreign)
	}
	if r.delivery == stage.ExactlyOnce && v.Duplicated != 0 {
		r.t.Errorf("%d duplicated", v.Duplicated)
	}
	if c := r.committed(); c != v.Sent {
		r.t.Errorf("%d are committed at the end", c)
	}
	if v.Duplicated > r.again {
		r.t.Errorf("%d duplicated, more than the %d that %d faults may bring again", v.Duplicated, r.again, r.faults)
	}
}

// committed is how many records lie below the committed offsets.
func (r *rig) committed() (n int) {
	info := r.broker.Fake().GroupInfo("group")
	if info == nil {
		return 0
	}
	for _, c := range info.Commits["in"] {
		n += int(c.Offset)
	}
	return n
}
