//go:build realkafka && !race

package chaos_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace-go/millrace/internal/kafkaserver"
	"github.com/millrace-go/millrace/internal/lane"
)

// testDoneMap kills a worker that has done most of what lies above its
// low-water mark, and counts what the next one does: only what was not
// finished.
func testDoneMap(t *testing.T, cluster *kafkaserver.Cluster) {
	t.Run("short", func(t *testing.T) {
		r := newDoneRig(t, cluster, "done-short")
		r.killAfter(200, 10, func(at int64, note string) bool { return doneAbove(at, note) == 200-20-9 })
		r.restart("", 20, 0)
	})
	// 1,475 records that do not end among 23,600: as a bitset or as run
	// lengths, that is nearly all that a commit can carry.
	t.Run("4000-bytes", func(t *testing.T) {
		r := newDoneRig(t, cluster, "done-long")
		note := r.killAfter(23_600, 16, func(at int64, note string) bool { return doneAbove(at, note) == 23_600-1475-15 })
		if len(note) < 3900 || len(note) > 4000 {
			t.Errorf("a note of %d bytes; want it near to 4,000", len(note))
		}
		r.restart("", 1475, 0)
	})
	t.Run("foreign", func(t *testing.T) {
		r := newDoneRig(t, cluster, "done-foreign")
		if err := r.feed.Send(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		r.commit(40, "host-7, 12:30")
		r.restart("does another program commit for this group?", 60, 40) // the other program has said that 40 were done
	})
}

// testNoRoomForDoneMap has a broker that takes next to nothing with a commit:
// the mark is committed all the same.
func testNoRoomForDoneMap(t *testing.T, lib string) {
	cluster, err := kafkaserver.Start(t.Context(), lib, t.TempDir(), 1, "offset.metadata.max.bytes=20")
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	r := newDoneRig(t, cluster, "done-plain")
	first := r.killAfter(200, 10, func(at int64, note string) bool { return at == 9 })
	if first != "" {
		t.Errorf("the broker took %q", first)
	}
	said, err := r.ended[0].said()
	if err != nil || !strings.Contains(said, "offset.metadata.max.bytes") {
		t.Errorf("no warning that names the broker's setting (%v):\n%s", err, said)
	}
	r.restart("", 191, 0)
}

// doneAbove is how many records a note says are done, -1 if it is none.
func doneAbove(at int64, note string) int64 {
	set, err := lane.ParseDoneMap(note, at)
	if err != nil {
		return -1
	}
	return set.Len()
}

// doneRig has one partition, in which each record is the only one of its key.
type doneRig struct{ *realRig }

func newDoneRig(t *testing.T, cluster *kafkaserver.Cluster, topic string) *doneRig {
	r := &doneRig{newRealRig(t, cluster, topic, 1, false)}
	r.feed.Keys = 1 << 20
	// Later versions of these requests name topics by their ids.
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers()...), kgo.MaxVersions(kversion.V3_0_0()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r.client = client
	return r
}

// killAfter has a worker do all but the last one of every so many records. It
// kills it as soon as a commit says so, and returns what went with that.
func (r *doneRig) killAfter(records, every int, ok func(at int64, note string) bool) (note string) {
	r.t.Helper()
	w := r.start(0, func(j *job) { j.Stuck = every })
	if err := r.feed.Send(r.t.Context(), records); err != nil {
		r.t.Fatal(err)
	}
	r.await("a commit of all that is done", func(ctx context.Context) (bool, error) {
		at, now, err := r.committed(ctx)
		note = now
		return err == nil && ok(at, now), fmt.Errorf("committed %d with %d bytes: %w", at, len(now), err)
	})
	if err := w.Kill(); err != nil {
		r.t.Fatal(err)
	}
	r.drop(w)
	r.ended = append(r.ended, w)
	return note
}

// restart starts a worker that finishes what is left, and counts what it does.
// It must say what says is, and lost is how many then never came out.
func (r *doneRig) restart(says string, want, lost int) {
	r.t.Helper()
	calls := filepath.Join(r.dir, "calls")
	w := r.start(1, func(j *job) { j.Plain, j.Calls = true, calls })
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	sent := int64(r.feed.Sent())
	r.await("all to be committed", func(ctx context.Context) (bool, error) {
		at, _, err := r.committed(ctx)
		return at == sent, err
	})
	if err := w.stop(ctx); err != nil {
		r.t.Error(err)
	}
	r.drop(w)
	r.ended = append(r.ended, w)
	text, err := os.ReadFile(calls)
	if err != nil {
		r.t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	slices.Sort(lines)
	if n := len(slices.Compact(lines)); len(lines) != want || n != want {
		r.t.Errorf("the next worker transformed %d records (%d different ones); want %d", len(lines), n, want)
	}
	if said, err := w.said(); err != nil || !strings.Contains(said, says) {
		r.t.Errorf("no word of %q (%v):\n%s", says, err, said)
	}
	v, err := r.look(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if v.Lost != lost {
		r.t.Errorf("%d lost, want %d", v.Lost, lost)
	}
	fmt.Printf("restart=%s sent=%d duplicated=%d transformed-by-the-next=%d\n", r.in, v.Sent, v.Duplicated, len(lines))
}

// committed is what the group has committed for the only partition.
func (r *doneRig) committed(ctx context.Context) (at int64, note string, err error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = r.in
	topic := kmsg.NewOffsetFetchRequestGroupTopic()
	topic.Topic, topic.Partitions = r.in, []int32{0}
	g.Topics = append(g.Topics, topic)
	req.Group, req.Topics = r.in, []kmsg.OffsetFetchRequestTopic{{Topic: r.in, Partitions: []int32{0}}}
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(ctx, r.client)
	if err != nil {
		return -1, "", err
	}
	if len(resp.Groups) != 1 || len(resp.Groups[0].Topics) != 1 || len(resp.Groups[0].Topics[0].Partitions) != 1 {
		return -1, "", fmt.Errorf("an answer for %v", resp.Groups)
	}
	p := resp.Groups[0].Topics[0].Partitions[0]
	if p.Metadata != nil {
		note = *p.Metadata
	}
	return p.Offset, note, kerr.ErrorForCode(p.ErrorCode)
}

// commit commits as a program does that is no member.
func (r *doneRig) commit(at int64, note string) {
	r.t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = r.in
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = r.in
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata = at, kmsg.StringPtr(note)
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(r.t.Context(), r.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
