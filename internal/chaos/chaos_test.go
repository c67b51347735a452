//go:build !race

package chaos_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/stage"
)

// both runs a scenario for both deliveries.
func both(t *testing.T, scenario func(t *testing.T, r *rig)) {
	for _, d := range []stage.Delivery{stage.AtLeastOnce, stage.ExactlyOnce} {
		t.Run(d.String(), func(t *testing.T) { scenario(t, newRig(t, d)) })
	}
}

// A fault may bring again what was finished since the last commit, and what
// was in flight: three members, each with up to MaxInFlight records.
const inFlight = 3 * 1024

func TestKilledMembers(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		v := r.scenario("kill members", 8, 1000, func(int) {
			r.stable()
			m := r.any()
			r.kill(m)
			time.Sleep(300 * time.Millisecond)
			r.start(m.slot)
		})
		r.judge(v, inFlight)
	})
}

func TestCutConnections(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		v := r.scenario("cut connections", 10, 1000, func(int) {
			time.Sleep(60 * time.Millisecond)
			for _, m := range r.members {
				r.faults += m.link.Cut()
			}
		})
		r.judge(v, inFlight)
	})
}

func TestRebalanceStorm(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		v := r.scenario("rebalance storm", 12, 800, func(round int) {
			m := r.start(3 + round)
			time.Sleep(time.Duration(50+r.rng.IntN(150)) * time.Millisecond)
			r.leave(m)
			r.faults++
		})
		// A clean rebalance does nothing again. But a member that is told to
		// stop while it joins can't leave before all have joined, nor can it
		// wait for that longer than its DrainTimeout: then it is as if it died.
		r.judge(v, inFlight)
	})
}

func TestHungMember(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		v := r.scenario("hung member", 3, 2000, func(int) {
			m := r.any()
			resume := m.link.Hang()
			time.Sleep(3 * time.Second) // beyond the session's time-out: it is a zombie then
			resume()
			r.faults++
		})
		r.judge(v, inFlight)
	})
}

// fault injects an error into a kind of request, and counts that it happened.
func (r *rig) fault(key kmsg.Key, err *kerr.Error, count int, topLevel bool) {
	h := r.broker.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: count, TopLevel: topLevel})
	time.Sleep(120 * time.Millisecond)
	h.Remove()
	r.faults += h.Hits()
}

func TestCoordinatorErrors(t *testing.T) {
	errs := []*kerr.Error{
		kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.RebalanceInProgress,
	}
	group := []kmsg.Key{kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.Heartbeat, kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.SyncGroup}
	txn := []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn}
	both(t, func(t *testing.T, r *rig) {
		keys := group
		if r.delivery == stage.ExactlyOnce {
			keys = append(keys[:len(keys):len(keys)], txn...)
			errs = append(errs, kerr.ConcurrentTransactions)
		}
		v := r.scenario("coordinator errors", len(errs), 1500, func(round int) {
			for _, key := range keys {
				r.fault(key, errs[round], 2, false)
				r.fault(key, errs[round], 1, true)
			}
		})
		r.judge(v, inFlight)
	})
}

func TestProduceAndFetchErrors(t *testing.T) {
	errs := []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError,
	}
	both(t, func(t *testing.T, r *rig) {
		v := r.scenario("produce and fetch errors", len(errs), 2000, func(round int) {
			for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch} {
				r.fault(key, errs[round], 3, false)
			}
		})
		r.judge(v, inFlight)
	})
}

func TestLeadersAndCoordinatorsMove(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		v := r.scenario("moves", 10, 1000, func(round int) {
			time.Sleep(50 * time.Millisecond)
			r.broker.Fake().ShufflePartitionLeaders()
			if round%2 == 0 {
				r.broker.Fake().RehashCoordinators()
			}
			r.faults++
		})
		r.judge(v, inFlight)
	})
}

// TestEndTxnReplyIsLost: the transaction takes effect, and the connection dies
// before anybody hears of it.
func TestEndTxnReplyIsLost(t *testing.T) {
	r := newRig(t, stage.ExactlyOnce)
	v := r.scenario("end of transaction without an answer", 10, 1000, func(int) {
		var hit atomic.Int64
		h := r.broker.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Count: 1, Observe: true, When: func(kmsg.Request) bool {
			hit.Add(1)
			go func() {
				for _, m := range append([]*member(nil), r.members...) {
					m.link.Cut()
				}
			}()
			return true
		}})
		time.Sleep(200 * time.Millisecond)
		h.Remove()
		r.faults += int(min(1, hit.Load()))
		h = r.broker.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.RequestTimedOut, Count: 2})
		time.Sleep(100 * time.Millisecond)
		h.Remove()
		r.faults += h.Hits()
	})
	r.judge(v, 0)
}

// TestFencedProducers: somebody else takes the members' transactional ids, as
// a zombie or a careless deployment does.
func TestFencedProducers(t *testing.T) {
	r := newRig(t, stage.ExactlyOnce)
	v := r.scenario("fenced producers", 4, 1500, func(int) {
		for _, key := range []kmsg.Key{kmsg.AddPartitionsToTxn, kmsg.EndTxn} {
			r.fault(key, kerr.ProducerFenced, 1, true)
			r.fault(key, kerr.ProducerFenced, 1, false)
		}
	})
	r.judge(v, 0)
}
