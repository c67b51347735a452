//go:build !race

package chaos_test

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// keepGroup gives kfake two rules of a real coordinator.
//
// A real one throws nobody out while it keeps their JoinGroup or SyncGroup
// waiting: they can't send heartbeats then. kfake does, and never answers the
// request that waits, so that the client waits for its own time-out of many
// seconds. Here such a member's heartbeats are sent for it.
//
// A real one expires a member that dies between its first join and its first
// heartbeat. kfake waits for it for ever, or leaves partitions with it. Here
// such a member is told to have left.
func (r *rig) keepGroup(ctx context.Context) {
	waits := make(map[string]int) // for how many ticks
	for tick := time.NewTicker(sessionTimeout / 10); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		info := r.broker.Fake().GroupInfo("group")
		if info == nil {
			continue
		}
		for _, in := range info.Members {
			r.mu.Lock()
			m := r.all[in.ClientID]
			r.mu.Unlock()
			if m == nil {
				continue
			}
			switch gone := m.gone.Load(); {
			case gone != nil && time.Since(*gone) > sessionTimeout+time.Second:
				req := kmsg.NewPtrLeaveGroupRequest()
				req.Group, req.Version = info.Group, 3
				req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: in.MemberID}}
				_, _ = req.RequestWith(ctx, r.admin) // there will be another try
			case gone != nil || !m.link.Waiting(int16(kmsg.JoinGroup)) && !m.link.Waiting(int16(kmsg.SyncGroup)):
				delete(waits, in.MemberID)
			default:
				// Not at once, so that none meets a fault meant for the member.
				if waits[in.MemberID]++; waits[in.MemberID] < 5 {
					continue
				}
				req := kmsg.NewPtrHeartbeatRequest()
				req.Group, req.MemberID, req.Generation = info.Group, in.MemberID, info.Epoch
				_, _ = req.RequestWith(ctx, r.admin)
			}
		}
	}
}

// group returns what the coordinator knows.
func (r *rig) group() *kfake.GroupInfo {
	if info := r.broker.Fake().GroupInfo("group"); info != nil {
		return info
	}
	return &kfake.GroupInfo{}
}

// listed reports whether a member belongs to the group.
func (r *rig) listed(m *member) bool {
	return slices.ContainsFunc(r.group().Members, func(in kfake.GroupMember) bool { return r.all[in.ClientID] == m })
}

// assigned is how many partitions a member has.
func (r *rig) assigned(m *member) (n int) {
	for _, in := range r.group().Members {
		if r.all[in.ClientID] == m {
			n += in.NumAssigned()
		}
	}
	return n
}

// stable waits until all living members share the partitions, and nobody else
// has any.
func (r *rig) stable() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	info, err := r.broker.Fake().WaitGroupInfo(ctx, "group", func(g *kfake.GroupInfo) bool {
		r.alive()
		if g == nil || g.State != "Stable" || len(g.Members) != len(r.members) || g.NumAssigned() != partitions {
			return false
		}
		for _, in := range g.Members {
			if r.all[in.ClientID].gone.Load() != nil {
				return false
			}
		}
		return true
	})
	if err != nil {
		r.t.Fatalf("the group does not get stable: %v: %+v", err, info)
	}
}
