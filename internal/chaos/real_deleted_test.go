//go:build realkafka && !race

package chaos_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/internal/kafkaserver"
)

// testDeletedTopic deletes the topic that a stage reads, or the one that it
// writes, while it runs: it must stop and name it.
func testDeletedTopic(t *testing.T, cluster *kafkaserver.Cluster) {
	for _, end := range []string{"in", "out"} {
		for _, delivery := range []string{"at-least-once", "exactly-once"} {
			t.Run(end+"/"+delivery, func(t *testing.T) {
				t.Parallel()
				r := newRealRig(t, cluster, "deleted-"+end+"-"+delivery, partitions, delivery == "exactly-once")
				w := r.start(0)
				r.stable(w)
				if err := r.feed.Send(t.Context(), 500); err != nil {
					t.Fatal(err)
				}
				topic := map[string]string{"in": r.in, "out": r.out}[end]
				begun := time.Now()
				if err := r.deleteTopic(t.Context(), topic); err != nil {
					t.Fatal(err)
				}
				if end == "out" { // it must have something to write
					if err := r.feed.Send(t.Context(), 500); err != nil {
						t.Fatal(err)
					}
				}
				r.drop(w) // it must not live
				r.ended = append(r.ended, w)
				select {
				case <-w.Done():
				case <-time.After(time.Minute):
					_ = w.Kill()
					t.Fatal("it does not stop")
				}
				said, err := w.said()
				if err != nil {
					t.Fatal(err)
				}
				last := said[strings.LastIndex(strings.TrimSpace(said), "\nworker: ")+1:]
				fmt.Printf("deleted=%s/%s seconds=%.1f: %s\n", end, delivery, time.Since(begun).Seconds(), last)
				if w.State().Success() || !strings.Contains(last, topic) {
					t.Errorf("ended with %v and did not name %s: %s", w.State(), topic, last)
				}
			})
		}
	}
}

func (r *realRig) deleteTopic(ctx context.Context, name string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = &name
	req.Topics, req.TopicNames = append(req.Topics, one), []string{name}
	resp, err := req.RequestWith(ctx, r.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}
