//go:build realkafka && !race

package chaos_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-go/millrace/internal/kafkaserver"
	"github.com/millrace-go/millrace/internal/witness"
)

// realRig is a real Kafka, a topic that is fed, and processes of a group that
// pass its records on.
type realRig struct {
	t           *testing.T
	cluster     *kafkaserver.Cluster
	nodes       int
	client      *kgo.Client
	exactlyOnce bool
	in, out     string
	feed        *witness.Feed
	seed        uint64
	rng         *rand.Rand
	dir         string
	special     func(*job) // of every worker
	proxies     *proxies   // nil: workers go straight to the brokers
	workers     []*worker
	ended       []*worker // when all is over
	started     int
	faults      int
}

// group is how many workers a group has.
const group = 3

func newRealRig(t *testing.T, cluster *kafkaserver.Cluster, topic string, partitions int32, exactlyOnce bool) *realRig {
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r := &realRig{
		t: t, cluster: cluster, nodes: len(cluster.Brokers()), client: client, exactlyOnce: exactlyOnce,
		in: topic + "-in", out: topic + "-out", seed: rand.Uint64(), dir: t.TempDir(),
	}
	r.rng = rand.New(rand.NewPCG(r.seed, 0))
	t.Logf("seed %d", r.seed)
	r.feed = &witness.Feed{Brokers: cluster.Brokers(), Topic: r.in, Keys: 50}
	t.Cleanup(r.feed.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := createTopics(ctx, client, partitions, r.in, r.out); err != nil {
		t.Fatal(err)
	}
	if err := r.feed.Open(ctx); err != nil { // nothing is broken yet
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, w := range append(r.ended, r.workers...) {
			if t.Failed() {
				t.Logf("%s:\n%s", w.log, w.end())
			}
			if !w.Ended() {
				_ = w.Kill()
			}
		}
	})
	return r
}

// start starts a worker. Its slot is what a pod's ordinal is: whoever comes
// after it there has the same transactional id. of says how it is special.
func (r *realRig) start(slot int, of ...func(*job)) *worker {
	r.t.Helper()
	r.started++
	j := job{
		Name: fmt.Sprintf("worker-%d-%d", slot, r.started), Slot: slot, Brokers: r.cluster.Brokers(),
		In: r.in, Out: r.out, ExactlyOnce: r.exactlyOnce,
	}
	if r.proxies != nil {
		j.Via = r.proxies.via
	}
	for _, set := range append([]func(*job){r.special}, of...) {
		if set != nil {
			set(&j)
		}
	}
	w, err := startWorker(j, r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	r.workers = append(r.workers, w)
	return w
}

// drop takes a worker from the list that is held to live.
func (r *realRig) drop(w *worker) {
	for i, other := range r.workers {
		if other == w {
			r.workers = append(r.workers[:i:i], r.workers[i+1:]...)
			return
		}
	}
}

func (r *realRig) any() *worker { return r.workers[r.rng.IntN(len(r.workers))] }

// pause waits for a random time below most.
func (r *realRig) pause(most time.Duration) {
	time.Sleep(time.Duration(r.rng.Int64N(int64(most))))
}

// await polls until ok, and fails the test if that takes too long or a worker
// ends meanwhile.
func (r *realRig) await(what string, ok func(ctx context.Context) (bool, error)) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		r.alive()
		done, err := ok(ctx)
		if done {
			return
		}
		if ctx.Err() != nil {
			r.t.Fatalf("waiting for %s: %v (last: %v)", what, ctx.Err(), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// alive fails the test if a worker has ended by itself.
func (r *realRig) alive() {
	r.t.Helper()
	for _, w := range r.workers {
		if w.Ended() {
			r.t.Fatalf("%s ended by itself: %v", w.Name, w.State())
		}
	}
}

// stable waits until the group has exactly these members.
func (r *realRig) stable(workers ...*worker) {
	r.t.Helper()
	want := make(map[string]bool)
	for _, w := range workers {
		want[w.Name] = true
	}
	r.await(fmt.Sprintf("a stable group of %d", len(workers)), func(ctx context.Context) (bool, error) {
		got, err := members(ctx, r.client, r.in)
		if err != nil {
			return false, err
		}
		return maps.Equal(got, want), fmt.Errorf("members %v", got)
	})
}

// run feeds records while disturb breaks something, each round anew; then it
// waits until all records came out, or nothing more comes, and judges.
func (r *realRig) run(name string, rounds, records int, disturb func(r *realRig, round int)) (witness.Verdict, time.Duration) {
	r.t.Helper()
	begun := time.Now()
	for i := range group {
		r.start(i)
	}
	r.stable(r.workers...)
	ctx, cancel := context.WithTimeout(r.t.Context(), 15*time.Minute)
	defer cancel()
	for round := range rounds {
		var feeding sync.WaitGroup
		feeding.Go(func() {
			const chunks = 20 // over 400 ms, in which something breaks
			for range chunks {
				if err := r.feed.Send(ctx, records/rounds/chunks); err != nil {
					r.t.Error(err)
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		disturb(r, round)
		feeding.Wait()
		if r.t.Failed() { // of what was not fed nothing can be said
			r.t.FailNow()
		}
		r.alive()
	}
	r.settle(ctx)
	took := time.Since(begun)
	r.alive()
	for _, w := range r.workers {
		if err := w.stop(ctx); err != nil {
			r.t.Error(err)
		}
	}
	r.ended, r.workers = r.workers, nil
	// What a worker wrote on its way out counts as well.
	v, err := r.look(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	fmt.Println(v.Line(name, r.faults, took))
	return v, took
}

func (r *realRig) look(ctx context.Context) (witness.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	v, _, err := witness.Judge(ctx, r.feed, r.out)
	return v, err
}

// settle waits until all records came out, and gives up after a minute without
// a new one. A broker that has just come back may refuse a look.
func (r *realRig) settle(ctx context.Context) {
	r.t.Helper()
	lost, quiet := -1, time.Now()
	for ; ; time.Sleep(300 * time.Millisecond) {
		v, err := r.look(ctx)
		if err == nil && v.Lost == 0 || time.Since(quiet) > time.Minute {
			if err != nil {
				r.t.Error(err)
			}
			return
		}
		if err == nil && v.Lost != lost {
			lost, quiet = v.Lost, time.Now()
		}
		r.alive()
	}
}

// judge holds the verdict against what the delivery promises. most is how many
// duplicates a fault may bring with at-least-once delivery.
func (r *realRig) judge(v witness.Verdict, faults, most int) {
	r.t.Helper()
	if r.faults != faults {
		r.t.Errorf("%d faults have happened, not %d", r.faults, faults)
	}
	if v.Lost != 0 || v.Reordered != 0 || v.Foreign != 0 {
		r.t.Errorf("%d lost, %d reordered, %d foreign", v.Lost, v.Reordered, v.Foreign)
		r.t.Log(standing(r.t.Context(), r.client, r.in, r.out))
		skipped, err := r.cluster.Logged("Couldn't find leader endpoint")
		r.t.Logf("transactions that Kafka never ended, KAFKA-20734 (%v): %q", err, skipped)
	}
	if r.exactlyOnce {
		most = 0
	}
	if v.Duplicated > most*r.faults {
		r.t.Errorf("%d duplicated, more than %d for each of %d faults", v.Duplicated, most, r.faults)
	}
}
