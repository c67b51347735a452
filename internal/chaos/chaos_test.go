//go:build !race

package chaos_test

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/internal/link"
	"github.com/millrace-go/millrace/stage"
)

// both runs a scenario for both deliveries.
func both(t *testing.T, scenario func(t *testing.T, r *rig)) {
	for _, d := range []stage.Delivery{stage.AtLeastOnce, stage.ExactlyOnce} {
		t.Run(d.String(), func(t *testing.T) { scenario(t, newRig(t, d)) })
	}
}

// TestKilledMembers: at any moment, a join or a rebalance included.
func TestKilledMembers(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.scenario("killed members", 8, 1000, func(round int) {
			if round%2 == 0 {
				r.stable()
			}
			r.pause(200 * time.Millisecond)
			m := r.anyone()
			r.strike(func() int { return r.kill(m) })
			r.pause(300 * time.Millisecond)
			r.start(m.slot)
		})
	})
}

func TestCutConnections(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.scenario("cut connections", 10, 1000, func(int) {
			r.pause(100 * time.Millisecond)
			for _, m := range r.members {
				r.strike(func() int {
					r.await("a connection", func() bool { return m.link.Cut() > 0 })
					return 1
				})
			}
		})
	})
}

func TestRebalanceStorm(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.scenario("rebalance storm", 12, 800, func(round int) {
			// A clean rebalance brings nothing again. But a member that is told
			// to stop while it joins can't leave before all have joined, nor
			// can it wait for that longer than its DrainTimeout: then it is as
			// if it died.
			r.strike(func() int {
				before := r.group().Epoch
				m := r.start(3 + round)
				r.await("a join", func() bool { return r.listed(m) && r.group().Epoch > before })
				r.pause(150 * time.Millisecond)
				r.leave(m)
				return 1
			})
		})
	})
}

// TestHungMember: nothing comes or goes until the group has thrown the member
// out. Then it lives on, and does not know.
func TestHungMember(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.scenario("hung member", 3, 2000, func(int) {
			r.stable()
			m := r.anyone()
			resume := m.link.Hang()
			defer resume()
			r.await("the end of a session", func() bool { return !r.listed(m) })
			// It has committed nothing since it hangs, the others have.
			r.strike(func() int { return 1 })
		})
	})
}

// TestHungRequests: a request or its answer gets lost, and the connection
// lives on.
func TestHungRequests(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		waves := [][]kmsg.Key{
			{kmsg.Produce, kmsg.Fetch, kmsg.OffsetCommit},
			{kmsg.Heartbeat, kmsg.JoinGroup, kmsg.SyncGroup},
		}
		if r.delivery == stage.ExactlyOnce {
			waves = [][]kmsg.Key{
				{kmsg.Produce, kmsg.AddPartitionsToTxn, kmsg.TxnOffsetCommit},
				{kmsg.EndTxn, kmsg.EndTxn, kmsg.SyncGroup},
				{kmsg.Fetch, kmsg.AddOffsetsToTxn, kmsg.Heartbeat},
			}
		}
		hang := func(round int) (faults int) {
			var losses []*link.Loss
			for i, key := range waves[round%len(waves)] {
				// Each kind one way now, and the other way the next time.
				fate := []link.Fate{link.RequestLost, link.ReplyLost}[(i+round/len(waves))%2]
				losses = append(losses, r.members[i].link.Lose(int16(key), fate))
			}
			extra := r.start(3 + round) // for joins and syncs
			for _, l := range losses {
				r.happens(l)
				faults++
			}
			r.leave(extra)
			r.stable()
			return faults
		}
		r.scenario("hung requests", len(waves), 1000, func(round int) {
			r.stable()
			// A member whose commits and heartbeats hang does not know that it is
			// thrown out. It works on until its own time-out, and all that it has
			// finished since its last commit comes again.
			committed := r.committed()
			n := hang(round)
			r.faults += n
			r.again += r.work.begun() - committed + n*inFlight
		})
	})
}

// TestEndTxnReplyIsLost: the transaction takes effect, and nobody hears of it.
// sarama asks again; in every other round it is told then that its producer is
// none any more, so that the outcome stays unknown.
func TestEndTxnReplyIsLost(t *testing.T) {
	r := newRig(t, stage.ExactlyOnce)
	r.scenario("end of transaction without an answer", 10, 1000, func(round int) {
		fate := link.ReplyCut
		if round%5 == 4 {
			fate = link.ReplyLost
		}
		m := r.anyone()
		loss := m.link.Lose(int16(kmsg.EndTxn), fate)
		if round%2 == 1 {
			r.happens(loss)
			r.faults++
			return
		}
		r.faults++
		r.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TxnID: m.transactions(), Err: kerr.InvalidProducerEpoch, When: func(kmsg.Request) bool {
			select {
			case <-loss.Happened():
				return true
			default:
				return false
			}
		}})
	})
}

// TestRevokeInsideTransaction: a partition is taken away while a transaction
// holds results of its member.
func TestRevokeInsideTransaction(t *testing.T) {
	r := newRig(t, stage.ExactlyOnce)
	r.commit = 800 * time.Millisecond // so that a transaction is open nearly always
	r.scenario("revoke inside a transaction", 6, 1500, func(round int) {
		before := r.faults
		for try := 0; r.faults == before && try < 10; try++ {
			r.stable()
			from := make(map[*member]int)
			for _, m := range r.members {
				from[m] = len(m.requests())
			}
			extra := r.start(3 + 10*round + try)
			r.stable()
			// Whoever loses a partition joins again when it has let go of it.
			r.await("the second join", func() bool { return r.listed(extra) && r.assigned(extra) > 0 })
			for m, n := range from {
				if revokedInside(m.requests(), n) {
					r.faults++
				}
			}
			r.leave(extra)
		}
	})
}

// revokedInside reports whether a member, from its n-th request on, got an
// assignment while a transaction was open, ended that, and joined again, which
// only one does that has lost a partition.
func revokedInside(sent []kmsg.Key, n int) bool {
	var open, synced, ended bool
	for i, key := range sent {
		switch {
		case key == kmsg.AddPartitionsToTxn:
			open = true
		case key == kmsg.SyncGroup:
			synced, ended = open && i >= n, false
		case key == kmsg.EndTxn:
			open, ended = false, synced
		case ended: // and it joins
			return true
		default:
			synced = false
		}
	}
	return false
}

// TestCoordinatorErrors: each error of each kind of request, one by one.
func TestCoordinatorErrors(t *testing.T) {
	moved := []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress}
	with := func(more ...*kerr.Error) []*kerr.Error { return append(moved[:3:3], more...) }
	group := map[kmsg.Key][]*kerr.Error{
		kmsg.FindCoordinator: {kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress},
		kmsg.JoinGroup:       with(kerr.RebalanceInProgress, kerr.UnknownMemberID),
		kmsg.SyncGroup:       with(kerr.RebalanceInProgress, kerr.UnknownMemberID, kerr.IllegalGeneration),
		kmsg.Heartbeat:       with(kerr.RebalanceInProgress, kerr.UnknownMemberID, kerr.IllegalGeneration),
		kmsg.OffsetFetch:     with(kerr.UnstableOffsetCommit),
		kmsg.OffsetCommit:    with(kerr.RebalanceInProgress, kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RequestTimedOut),
		kmsg.InitProducerID:  moved,
	}
	txn := map[kmsg.Key][]*kerr.Error{
		kmsg.InitProducerID:     with(kerr.ConcurrentTransactions),
		kmsg.AddPartitionsToTxn: with(kerr.ConcurrentTransactions),
		kmsg.AddOffsetsToTxn:    with(kerr.ConcurrentTransactions),
		kmsg.TxnOffsetCommit:    with(kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RequestTimedOut),
		kmsg.EndTxn:             with(kerr.ConcurrentTransactions),
	}
	atStart := []kmsg.Key{kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch, kmsg.InitProducerID}
	both(t, func(t *testing.T, r *rig) {
		faults := group
		if r.delivery == stage.ExactlyOnce {
			faults = txn
		}
		var list []kfake.Fault
		for key, errs := range faults {
			for _, err := range errs {
				list = append(list, kfake.Fault{Keys: []kmsg.Key{key}, Err: err})
			}
		}
		slices.SortFunc(list, func(a, b kfake.Fault) int {
			return cmp.Or(cmp.Compare(a.Keys[0], b.Keys[0]), cmp.Compare(a.Err.Code, b.Err.Code))
		})
		r.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		r.scenario("coordinator errors", len(list), 400, func(round int) {
			f := list[round%len(list)]
			if slices.Contains(atStart, f.Keys[0]) {
				extra := r.start(3 + round)
				defer r.leave(extra)
			}
			r.fault(f)
		})
	})
}

func TestProduceAndFetchErrors(t *testing.T) {
	produce := []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError,
	}
	fetch := []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.UnknownLeaderEpoch, kerr.FencedLeaderEpoch, kerr.OffsetNotAvailable, kerr.KafkaStorageError,
	}
	both(t, func(t *testing.T, r *rig) {
		r.scenario("produce and fetch errors", len(produce), 2000, func(round int) {
			i := round % len(produce)
			r.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: produce[i], Topic: "out", Count: 3})
			r.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: fetch[i], Topic: "in", Count: 3})
		})
	})
}

func TestLeadersAndCoordinatorsMove(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		fake := r.broker.Fake()
		r.scenario("moves", 10, 1000, func(round int) {
			r.pause(100 * time.Millisecond)
			r.strike(func() (faults int) {
				for _, topic := range []string{"in", "out"} {
					p := r.rng.Int32N(partitions)
					if err := fake.MoveTopicPartition(topic, p, (fake.LeaderFor(topic, p)+1)%3); err != nil {
						t.Fatal(err)
					}
					faults++
				}
				if round%2 == 0 {
					for was := fake.CoordinatorFor("group"); fake.CoordinatorFor("group") == was; {
						fake.RehashCoordinators()
					}
					faults++
				}
				return faults
			})
		})
	})
}

// TestFencedProducers: somebody else takes the members' transactional ids, as
// a zombie or a careless deployment does.
func TestFencedProducers(t *testing.T) {
	r := newRig(t, stage.ExactlyOnce)
	r.scenario("fenced producers", 4, 1500, func(int) {
		r.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.AddPartitionsToTxn}, Err: kerr.ProducerFenced})
		r.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.ProducerFenced})
	})
}

// fault injects errors into the brokers' answers and waits until all have been
// given.
func (r *rig) fault(f kfake.Fault) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	r.strike(func() int {
		h := r.broker.Fake().Fault(f)
		defer h.Remove()
		if err := h.Wait(ctx, max(1, f.Count)); err != nil {
			r.t.Fatalf("%s was answered with %v only %d times: %v", f.Keys[0].Name(), f.Err, h.Hits(), err)
		}
		return h.Hits()
	})
}

// happens waits until a request is lost.
func (r *rig) happens(l *link.Loss) {
	r.t.Helper()
	select {
	case <-l.Happened():
	case <-time.After(30 * time.Second):
		r.t.Fatalf("%v has not happened", l)
	}
}

// await polls until ok.
func (r *rig) await(what string, ok func() bool) {
	r.t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		r.alive()
		if time.Since(begun) > 30*time.Second {
			r.t.Fatalf("waiting for %s: %+v", what, r.group())
		}
	}
}

// pause waits for a random time below most.
func (r *rig) pause(most time.Duration) { time.Sleep(time.Duration(r.rng.Int64N(int64(most)))) }
