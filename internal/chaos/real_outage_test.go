//go:build realkafka && !race

package chaos_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace-go/millrace/internal/kafkaserver"
	"github.com/millrace-go/millrace/internal/witness"
)

// outage is what one group made of a broker that was away.
type outage struct {
	down                time.Duration // from SIGKILL to the next start
	away                time.Duration // from SIGKILL to the first answer
	system              string
	first, all          time.Duration // from the first answer to the first result, to the last one
	lost, twice, before int           // before: of those twice, written a first time before the kill
	oldest              time.Duration // of those, how long before the kill
}

// measureOutage kills the only broker under three groups at once, two of
// stages and one of a loop by hand, and measures how each goes on. The times
// are for people; what is asserted is what is promised.
func measureOutage(t *testing.T, cluster *kafkaserver.Cluster, down time.Duration) []outage {
	const records = 3000 // for each group before the outage, and again after it
	var rigs []*realRig
	systems := []string{"at least once", "exactly once", "loop by hand"}
	for i, system := range systems {
		r := newRealRig(t, cluster, fmt.Sprintf("outage-%v-%d", down, i), partitions, system == "exactly once")
		r.special = func(j *job) { j.Plain, j.Loop = true, system == "loop by hand" }
		for slot := range group {
			r.start(slot)
		}
		rigs = append(rigs, r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), down+4*time.Minute)
	defer cancel()
	for _, r := range rigs {
		r.stable(r.workers...)
	}
	feed := func() {
		var all sync.WaitGroup
		for _, r := range rigs {
			all.Go(func() {
				if err := r.feed.Send(ctx, records); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	feed()
	killed := time.Now() // while the last ones are on their way
	if err := cluster.Kill(0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(down)
	answered := make(chan time.Time, 1)
	go func() {
		for ctx.Err() == nil {
			if _, _, err := ask(cluster.Brokers()[0], time.Second); err == nil {
				answered <- time.Now()
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if err := cluster.Resume(ctx, 0); err != nil {
		t.Fatal(err)
	}
	back := <-answered
	feed()
	var made []outage
	for i, r := range rigs {
		r.settle(ctx)
		o := r.outage(ctx, killed, back)
		o.down, o.system = down, systems[i]
		made = append(made, o)
		fmt.Printf("outage=%v away=%.1f system=%q first=%.2f all=%.2f lost=%d twice=%d of-those-before-the-kill=%d oldest-ms=%d\n",
			down, o.away.Seconds(), o.system, o.first.Seconds(), o.all.Seconds(), o.lost, o.twice, o.before, o.oldest.Milliseconds())
		if o.lost != 0 || r.exactlyOnce && o.twice != 0 {
			t.Errorf("%s: %d lost, %d twice", o.system, o.lost, o.twice)
		}
		// Written twice after the outage is only what was in flight in it.
		if most := group * maxInFlight; o.system == "at least once" && o.twice-o.before > most {
			t.Errorf("%d twice that were not written before the outage; %d were in flight at the most", o.twice-o.before, most)
		}
	}
	for _, r := range rigs {
		r.alive() // no process has ended
		for _, w := range r.workers {
			if err := w.stop(ctx); err != nil {
				t.Error(err)
			}
		}
		r.ended, r.workers = r.workers, nil
	}
	return made
}

// outage reads from the times at which the broker appended the results when
// work went on, and what was written twice.
func (r *realRig) outage(ctx context.Context, killed, back time.Time) outage {
	r.t.Helper()
	recs, err := witness.Read(ctx, r.cluster.Brokers(), r.out)
	if err != nil {
		r.t.Fatal(err)
	}
	o := outage{away: back.Sub(killed)}
	at := make(map[string][]time.Time)
	first, last := time.Time{}, time.Time{}
	for _, rec := range recs {
		at[string(rec.Value)] = append(at[string(rec.Value)], rec.Time)
		if rec.Time.After(killed.Add(time.Second)) && (first.IsZero() || rec.Time.Before(first)) {
			first = rec.Time
		}
	}
	for _, times := range at {
		slices.SortFunc(times, time.Time.Compare)
		if times[0].After(last) {
			last = times[0]
		}
		o.twice += len(times) - 1
		if ago := killed.Sub(times[0]); len(times) > 1 && ago > 0 {
			o.before++
			o.oldest = max(o.oldest, ago)
		}
	}
	o.lost = r.feed.Sent() - len(at)
	o.first, o.all = first.Sub(back), last.Sub(back)
	return o
}
