package similarity_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

// fed are all collections that a topic can feed, empty, for vectors of dim values.
func fed(dim int) map[string]func(testing.TB) similarity.Collection {
	index := func(options ...similarity.Option) func(testing.TB) similarity.Collection {
		return func(testing.TB) similarity.Collection { return similarity.NewIndex(similarity.Euclidean, options...) }
	}
	refined := func(options ...similarity.Option) func(testing.TB) similarity.Collection {
		return func(tb testing.TB) similarity.Collection {
			var fitter reduce.PCAFitter
			for _, it := range random(rand.New(rand.NewPCG(1, 0)), 10*dim, dim) {
				if err := fitter.Add(it.Vector); err != nil {
					tb.Fatal(err)
				}
			}
			pca, err := fitter.Fit((dim + 1) / 2)
			if err != nil {
				tb.Fatal(err)
			}
			x, err := similarity.NewRefined(similarity.Euclidean, pca, options...)
			if err != nil {
				tb.Fatal(err)
			}
			return x
		}
	}
	ivf := func(options ...similarity.Option) func(testing.TB) similarity.Collection {
		return func(tb testing.TB) similarity.Collection {
			x, err := similarity.NewIVF(similarity.Euclidean, options...)
			if err != nil {
				tb.Fatal(err)
			}
			return x
		}
	}
	file := func(options ...similarity.Option) func(testing.TB) similarity.Collection {
		return func(tb testing.TB) similarity.Collection {
			x, err := similarity.OpenFile(filepath.Join(tb.TempDir(), "vectors"), similarity.Euclidean, options...)
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() { _ = x.Close() })
			return x
		}
	}
	return map[string]func(testing.TB) similarity.Collection{
		"index": index(), "index, quantized": index(similarity.Quantized()),
		"refined": refined(), "refined, quantized": refined(similarity.Quantized()),
		"inverted file": ivf(), "inverted file, quantized": ivf(similarity.Quantized()),
		"file": file(), "file, quantized": file(similarity.Quantized()),
		"spaces": func(testing.TB) similarity.Collection {
			var s similarity.Spaces
			s.Put(space, similarity.NewIndex(similarity.Euclidean))
			return &s
		},
	}
}

// tombstones is [vector.Codec], but that nothing is the zero vector.
type tombstones struct{ vector.Codec }

func (c tombstones) Decode(b []byte) (vector.Vector, error) {
	if len(b) == 0 {
		return vector.Vector{}, nil
	}
	return c.Codec.Decode(b)
}

// counted counts what a collection was told, once it has heard it.
type counted struct {
	similarity.Collection
	told atomic.Int64
}

func (c *counted) Add(items ...similarity.Item) error {
	defer c.told.Add(int64(len(items)))
	return c.Collection.Add(items...)
}

func (c *counted) Delete(ids ...string) error {
	defer c.told.Add(int64(len(ids)))
	return c.Collection.Delete(ids...)
}

// TestTopicFeeds has a stage feed each collection from a topic, of new vectors,
// other ones and tombstones, while others ask it.
func TestTopicFeeds(t *testing.T) {
	const dim, ids, parts, part, lists = 8, 200, 4, 300, 4
	for name, collection := range fed(dim) {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			x := &counted{Collection: collection(t)}
			queries := vectors(random(rng, 5, dim))

			// What comes, what is there after each part of it, and every vector that an
			// id ever had.
			var records []stage.Raw
			var states [parts][]similarity.Item
			history, now := make(map[string][]vector.Vector), make(map[string]vector.Vector)
			for p := range parts {
				for _, it := range random(rng, part, dim) {
					id := fmt.Sprint(rng.IntN(ids))
					if rng.IntN(5) == 0 {
						records = append(records, stage.Raw{Key: []byte(id)})
						delete(now, id)
						continue
					}
					value, err := vector.Codec{}.Encode(it.Vector)
					if err != nil {
						t.Fatal(err)
					}
					records = append(records, stage.Raw{Key: []byte(id), Value: value})
					history[id], now[id] = append(history[id], it.Vector), it.Vector
				}
				for id, v := range now {
					states[p] = append(states[p], similarity.Item{ID: id, Vector: v})
				}
			}

			broker := kafkatest.Start(t, "vectors")
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			feed := &stage.Stage[stage.Record[vector.Vector], similarity.Item]{
				Name:   "feed",
				Source: source.WithRecord(source.Kafka(broker.Cluster(), stage.Topic[vector.Vector]{Name: "vectors", Codec: tombstones{}}, "feed")),
				Transform: stage.Map(func(_ context.Context, r stage.Record[vector.Vector]) (similarity.Item, error) {
					return similarity.Item{ID: string(r.Key), Vector: r.Value}, nil
				}),
				Sink: similarity.Into(x), BatchSize: 16,
			}
			done := make(chan error, 1)
			go func() { done <- stage.Run(ctx, feed) }()

			// Whatever is found was there once, at the distance that it had.
			var asked atomic.Int64
			over := make(chan struct{})
			var askers sync.WaitGroup
			end := sync.OnceFunc(func() { close(over); askers.Wait() })
			defer end()
			for batch := range 2 {
				askers.Go(func() {
					for {
						select {
						case <-over:
							return
						default:
						}
						answers, err := x.Nearest(t.Context(), queries[:1+3*batch], 10)
						if err != nil {
							t.Error(err)
							return
						}
						for i, hits := range answers {
							checkOnce(t, history, queries[i], hits)
						}
						asked.Add(1)
					}
				})
			}

			for p, state := range states {
				before := asked.Load()
				if ivf, ok := x.Collection.(*similarity.IVF); ok && p == parts/2 {
					askers.Go(func() {
						if err := ivf.Train(t.Context(), lists); err != nil {
							t.Error(err)
						}
					})
				}
				broker.Produce(t, "vectors", records[p*part:(p+1)*part]...)
				for there := false; !t.Failed() && (!there || asked.Load() < before+4); {
					select {
					case err := <-done:
						t.Fatal("the feed ended:", err)
					case <-time.After(time.Millisecond): // the feed takes its time
					}
					fed := x.told.Load() == int64((p+1)*part)
					if there = holds(t, x, queries, state, ids); fed && !there {
						t.Error("all is fed, and other items are there")
					}
				}
			}
			end()
			// Where all items are asked for, nothing is left out; of few, most are.
			if ivf, ok := x.Collection.(*similarity.IVF); ok {
				ivf.SetProbes(ivf.Lists()) // exact, then
			}
			if !holds(t, x, queries, states[parts-1], 10) {
				t.Error("all items are there, and the 10 nearest are others")
			}
			stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// holds tells whether the k nearest are those of the state, by brute force.
func holds(t *testing.T, x similarity.Finder, queries []vector.Vector, state []similarity.Item, k int) bool {
	t.Helper()
	answers, err := x.Nearest(t.Context(), queries, k)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range queries {
		if !likeHits(answers[i], truth(similarity.Euclidean, state, q.Values, k)) {
			return false
		}
	}
	return true
}

// checkOnce holds hits against every vector that their ids ever had.
func checkOnce(t *testing.T, history map[string][]vector.Vector, q vector.Vector, hits []similarity.Hit) {
	t.Helper()
	seen := make(map[string]bool)
	for i, h := range hits {
		there := slices.ContainsFunc(history[h.ID], func(v vector.Vector) bool {
			d, err := similarity.Euclidean.Distance(q.Values, v.Values)
			return err == nil && d == h.Distance
		})
		if !there || seen[h.ID] || i > 0 && h.Distance < hits[i-1].Distance {
			t.Errorf("found %v: never there, twice or not in order", hits)
		}
		seen[h.ID] = true
	}
}

func likeHits(got, want []similarity.Hit) bool {
	return slices.EqualFunc(got, want, func(a, b similarity.Hit) bool {
		return a.ID == b.ID && a.Distance-b.Distance < 1e-12 && b.Distance-a.Distance < 1e-12
	})
}

func vectors(items []similarity.Item) []vector.Vector {
	all := make([]vector.Vector, len(items))
	for i, it := range items {
		all[i] = it.Vector
	}
	return all
}

// TestSpacesSwap asks and feeds two models' collections while the new one is put
// in, and the old one dropped. Only their spaces tell their vectors apart.
func TestSpacesSwap(t *testing.T) {
	models := []string{"old", "new"}
	at := func(m, i int) vector.Vector { return vector.Vector{Space: models[m], Values: []float32{float32(i), 1}} }
	var indexes [2]similarity.Index
	for m, model := range models {
		if err := indexes[m].Add(similarity.Item{ID: model + " first", Vector: at(m, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	var s similarity.Spaces
	s.Put("old", &indexes[0])

	// What of a model is true before a call begins: it is put, its drop is over; or
	// after it has ended: its drop has begun.
	var there [2]struct{ put, dropping, dropped atomic.Bool }
	there[0].put.Store(true)
	type before struct{ put, dropped bool }
	now := func(m int) before { return before{there[m].put.Load(), there[m].dropped.Load()} }
	var answered, refused, fed [2]atomic.Int64
	// judge looks at what became of a call for a model.
	judge := func(what string, m int, was before, err error) {
		if err == nil {
			answered[m].Add(1)
			if was.dropped {
				t.Errorf("%s of the %s model is taken after it was dropped", what, models[m])
			}
			return
		}
		refused[m].Add(1)
		if was.put && !there[m].dropping.Load() {
			t.Errorf("%s of the %s model: %v, and it was there all the time", what, models[m], err)
		}
		if !strings.Contains(err.Error(), `"old"`) || !strings.Contains(err.Error(), `"new"`) || !stage.IsPermanent(err) {
			t.Errorf("%s of the %s model: error %v, want a permanent one that names both", what, models[m], err)
		}
	}
	own := func(m int, hits []similarity.Hit) bool {
		return len(hits) > 0 && !slices.ContainsFunc(hits, func(h similarity.Hit) bool { return h.ID[:3] != models[m] })
	}
	// ask asks for one vector of each of some models, in one call.
	ask := func(i, k int, of ...int) (answers [][]similarity.Hit, errs []error) {
		was, queries := make([]before, len(of)), make([]vector.Vector, len(of))
		for j, m := range of {
			was[j], queries[j] = now(m), at(m, i)
		}
		answers, err := s.Nearest(t.Context(), queries, k)
		errs = make([]error, len(of))
		if batch, ok := errors.AsType[*stage.BatchError](err); ok {
			errs = batch.Errs
		} else if err != nil {
			t.Error(err)
			return make([][]similarity.Hit, len(of)), errs
		}
		for j, m := range of {
			judge("a query", m, was[j], errs[j])
			if errs[j] == nil && !own(m, answers[j]) {
				t.Errorf("a query of the %s model found %v", models[m], answers[j])
			}
		}
		return answers, errs
	}

	over := make(chan struct{})
	var all sync.WaitGroup
	end := sync.OnceFunc(func() { close(over); all.Wait() })
	defer end()
	work := func(f func(i int)) {
		all.Go(func() {
			for i := 1; !t.Failed(); i++ {
				select {
				case <-over:
					return
				default:
					f(i)
				}
			}
		})
	}
	for m, model := range models {
		work(func(i int) {
			it := similarity.Item{ID: fmt.Sprint(model, " ", i%50), Vector: at(m, i)}
			was := now(m)
			err := s.Add(it)
			judge("an item", m, was, err)
			if err != nil {
				return
			}
			fed[m].Add(1)
			// It is there at once, unless its collection is gone by now.
			if answers, errs := ask(i, 1, m); errs[0] == nil && (len(answers[0]) != 1 || answers[0][0] != (similarity.Hit{ID: it.ID})) {
				t.Errorf("%q was put in, and %v is found in its place", it.ID, answers[0])
			}
		})
		work(func(i int) { ask(i, 3, m) })
		work(func(i int) { ask(i, 3, m, 1-m) })
	}
	work(func(int) { // so that what they read changes all the time
		s.Put("other", &similarity.Index{})
		s.Drop("other")
	})
	more := func(counts ...*atomic.Int64) {
		for _, c := range counts {
			for before := c.Load(); c.Load() < before+50 && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
		}
	}
	more(&answered[0], &fed[0], &refused[1]) // only the old one is there
	s.Put("new", &indexes[1])
	there[1].put.Store(true)
	more(&answered[0], &fed[0], &answered[1], &fed[1]) // both are
	there[0].dropping.Store(true)
	s.Drop("old")
	there[0].dropped.Store(true)
	more(&refused[0], &answered[1], &fed[1])
	end()
	for m := range models {
		hits, err := indexes[m].Nearest(t.Context(), []vector.Vector{at(m, 0)}, 1000)
		if err != nil || !own(m, hits[0]) || len(hits[0]) < 2 {
			t.Errorf("in the %s model's index are %v, %v", models[m], hits, err)
		}
	}
}
