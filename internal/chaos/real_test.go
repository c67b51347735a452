//go:build realkafka && !race

package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-go/millrace/internal/kafkaserver"
)

// realScenario is what breaks, round by round, and on clusters of which sizes
// it is shown.
type realScenario struct {
	name       string
	nodes      []int // of brokers
	small      int   // rounds; 0: only in the full size
	full       int
	disturb    func(r *realRig, round int)
	proxied    bool
	duplicates int // that a fault may bring with at-least-once delivery
}

// A worker that dies brings again what was in flight, and what was finished
// since its last commit; a broker that dies, what all workers had.
const (
	perWorker = 2 * maxInFlight
	perBroker = group * perWorker
)

func realScenarios() []realScenario {
	all := []realScenario{
		{"workers-killed", []int{1, 3}, 2, 6, killWorker, false, perWorker},
		{"workers-stopped", []int{1}, 3, 6, stopWorker, false, 0},
		{"zombies", []int{1, 3}, 1, 4, makeZombie, false, perWorker},
		{"broker-killed-for-4s", []int{1}, 1, 2, killBroker(4 * time.Second), false, perBroker},
		{"broker-killed-for-70s", []int{1}, 0, 1, killBroker(70 * time.Second), false, perBroker},
		{"brokers-killed-in-turn", []int{3}, 0, 3, killBroker(2 * time.Second), false, perBroker},
		{"brokers-stopped-in-turn", []int{3}, 0, 3, stopBroker, false, perBroker},
	}
	for _, f := range realToxics() {
		all = append(all, realScenario{"network-" + f.kind, []int{1, 3}, 1, 2, f.poison, true, perBroker})
	}
	return all
}

// TestRealKafka runs the scenarios, in the size that SIZE says: small (the
// default) or full.
func TestRealKafka(t *testing.T) {
	run := realRun{records: 3000}
	clusters := []int{1}
	switch size := os.Getenv("SIZE"); size {
	case "", "small":
	case "full":
		run.records, run.full, clusters = 6000, true, []int{1, 3}
	default:
		t.Fatalf("SIZE is %q: small or full", size)
	}
	lib, err := kafkaserver.Dir()
	if err != nil {
		t.Fatal(err)
	}
	if err := kafkaserver.Install(t.Context(), lib, os.Stderr); err != nil {
		t.Fatal(err)
	}
	for _, nodes := range clusters {
		t.Run(fmt.Sprintf("%d", nodes), func(t *testing.T) {
			cluster, err := kafkaserver.Start(t.Context(), lib, t.TempDir(), nodes)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			run.scenarios(t, cluster)
			if nodes > 1 {
				return
			}
			t.Run("outage", func(t *testing.T) {
				run.outages = measureOutage(t, cluster, 4*time.Second)
				if run.full {
					run.outages = append(run.outages, measureOutage(t, cluster, 70*time.Second)...)
				}
			})
			t.Run("deleted-topic", func(t *testing.T) { testDeletedTopic(t, cluster) })
			t.Run("login", func(t *testing.T) { testLogin(t, cluster) })
			t.Run("done-map", func(t *testing.T) { testDoneMap(t, cluster) })
			t.Run("no-room-for-done-map", func(t *testing.T) { testNoRoomForDoneMap(t, lib) })
		})
	}
	if path := os.Getenv("CHAOS_REPORT"); path != "" {
		if err := writeReport(path, run.rows, run.outages); err != nil {
			t.Error(err)
		}
	}
}

// realRun is what a run does and what became of it.
type realRun struct {
	full    bool
	records int // a scenario
	mu      sync.Mutex
	rows    []row
	outages []outage
}

func (run *realRun) scenarios(t *testing.T, cluster *kafkaserver.Cluster) {
	nodes := len(cluster.Brokers())
	for _, s := range realScenarios() {
		rounds := s.small
		if run.full {
			rounds = s.full
		}
		if rounds == 0 || !slices.Contains(s.nodes, nodes) {
			continue
		}
		for _, delivery := range []string{"at-least-once", "exactly-once"} {
			t.Run(s.name+"/"+delivery, func(t *testing.T) {
				place := len(run.rows)
				run.rows = append(run.rows, row{})
				if s.proxied { // that harms no broker, and so none of the others
					t.Parallel()
				}
				r := newRealRig(t, cluster, s.name+"-"+delivery, partitions, delivery == "exactly-once")
				if s.proxied {
					r.proxies = newProxies(t, cluster.Brokers())
				}
				done := row{name: fmt.Sprintf("%d-broker/%s/%s", nodes, s.name, delivery), seed: r.seed}
				defer func() { // also when the scenario did not get to its end
					done.faults, done.passed = r.faults, !t.Failed()
					run.mu.Lock()
					defer run.mu.Unlock()
					run.rows[place] = done
				}()
				done.verdict, done.took = r.run(done.name, rounds, run.records, s.disturb)
				r.judge(done.verdict, rounds, s.duplicates)
			})
		}
	}
}

// killWorker kills one with SIGKILL, in whatever it does, and starts another
// one in its place.
func killWorker(r *realRig, _ int) {
	r.pause(400 * time.Millisecond)
	w := r.any()
	if err := w.Kill(); err != nil {
		r.t.Error(err)
		return
	}
	r.drop(w)
	r.faults++
	r.pause(time.Second)
	r.start(w.Slot)
	r.pause(6 * time.Second) // the next one may hit before the group knows that this one is dead, or after
}

// stopWorker is one step of a rolling restart.
func stopWorker(r *realRig, round int) {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	i := slices.IndexFunc(r.workers, func(w *worker) bool { return w.Slot == round%group })
	w := r.workers[i]
	r.pause(400 * time.Millisecond)
	if err := w.stop(ctx); err != nil {
		r.t.Error(err)
	}
	r.drop(w)
	r.faults++
	r.start(w.Slot)
	r.stable(r.workers...)
}

// makeZombie freezes a worker until the group has given its partitions to the
// others, and lets it go on.
func makeZombie(r *realRig, _ int) {
	r.pause(200 * time.Millisecond)
	w := r.any()
	r.freeze(w)
	others := slices.DeleteFunc(slices.Clone(r.workers), func(o *worker) bool { return o == w })
	r.stable(others...)
	r.faults++
	r.pause(time.Second)
	if err := w.Signal(syscall.SIGCONT); err != nil {
		r.t.Error(err)
	}
	r.stable(r.workers...) // it noticed, and came back as a new member
}

// freeze stops a worker by SIGSTOP; exactly once, in the middle of a
// transaction.
func (r *realRig) freeze(w *worker) {
	r.t.Helper()
	r.await("a worker frozen in a transaction", func(ctx context.Context) (bool, error) {
		if err := w.Signal(syscall.SIGSTOP); err != nil || !r.exactlyOnce {
			return err == nil, err
		}
		state, err := transaction(ctx, r.client, w.transactionalID())
		if err == nil && state == "Ongoing" {
			return true, nil
		}
		return false, errors.Join(err, w.Signal(syscall.SIGCONT))
	})
}

// killBroker kills the brokers in turn, each for so long. The workers must
// live through it.
func killBroker(down time.Duration) func(r *realRig, round int) {
	return func(r *realRig, round int) {
		node := round % r.nodes
		r.pause(400 * time.Millisecond)
		if err := r.cluster.Kill(node); err != nil {
			r.t.Fatal(err)
		}
		r.faults++
		time.Sleep(down)
		r.resume(node)
	}
}

// stopBroker stops the brokers in turn, as an upgrade does.
func stopBroker(r *realRig, round int) {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	node := round % r.nodes
	r.pause(400 * time.Millisecond)
	if err := r.cluster.Stop(ctx, node); err != nil {
		r.t.Fatal(err)
	}
	r.faults++
	r.resume(node)
}

// resume starts a broker again, and waits until it has caught up and the group
// is whole, without a new worker.
func (r *realRig) resume(node int) {
	r.t.Helper()
	if err := r.cluster.Resume(r.t.Context(), node); err != nil {
		r.t.Fatal(err)
	}
	r.await("all replicas in sync", func(ctx context.Context) (bool, error) {
		return replicated(ctx, r.client, r.nodes)
	})
	r.stable(r.workers...)
	if r.started != group {
		r.t.Errorf("%d workers were started, not %d", r.started, group)
	}
}
