package similarity_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
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
// in, and the old one dropped.
func TestSpacesSwap(t *testing.T) {
	var s similarity.Spaces
	at := func(model string, i int) vector.Vector {
		v := vector.Vector{Space: model, Values: []float32{float32(i), 1}}
		if model == "new" {
			v.Values = append(v.Values, 2)
		}
		return v
	}
	s.Put("old", &similarity.Index{})
	if err := s.Add(similarity.Item{ID: "old first", Vector: at("old", 0)}); err != nil {
		t.Fatal(err)
	}
	// Whether a model's collection was there before a call, and after it.
	var there [2]struct{ from, until atomic.Bool } // put; about to be dropped
	models := []string{"old", "new"}
	there[0].from.Store(true)
	var answered, refused [2]atomic.Int64
	over := make(chan struct{})
	var all sync.WaitGroup
	for m, model := range models {
		// judge looks at what became of a call that began when the model was there, or was not.
		judge := func(what string, was bool, err error) {
			if err == nil {
				answered[m].Add(1)
				return
			}
			refused[m].Add(1)
			if was && !there[m].until.Load() {
				t.Errorf("%s of the %s model: %v, and it was there all the time", what, model, err)
			}
			if !stage.IsPermanent(err) {
				if batch, ok := errors.AsType[*stage.BatchError](err); !ok || !stage.IsPermanent(batch.Errs[0]) {
					t.Errorf("%s of the %s model: %v is not permanent", what, model, err)
				}
			}
		}
		work := func(f func(i int)) {
			all.Go(func() {
				for i := 1; ; i++ {
					select {
					case <-over:
						return
					default:
						f(i)
					}
				}
			})
		}
		work(func(i int) {
			was := there[m].from.Load()
			judge("an item", was, s.Add(similarity.Item{ID: fmt.Sprint(model, " ", i%50), Vector: at(model, i)}))
		})
		work(func(i int) {
			was := there[m].from.Load()
			hits, err := s.Nearest(t.Context(), []vector.Vector{at(model, i)}, 3)
			judge("a query", was, err)
			if err == nil {
				for _, h := range hits[0] {
					if h.ID[:3] != model {
						t.Errorf("a query of the %s model found %v", model, h)
					}
				}
			}
		})
	}
	more := func(counts ...*atomic.Int64) {
		for _, c := range counts {
			for before := c.Load(); c.Load() < before+50 && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
		}
	}
	more(&answered[0], &refused[1]) // only the old one is there
	s.Put("new", &similarity.Index{})
	there[1].from.Store(true)
	more(&answered[0], &answered[1]) // both are
	there[0].until.Store(true)
	s.Drop("old")
	more(&refused[0], &answered[1])
	close(over)
	all.Wait()
	if _, err := s.Nearest(t.Context(), []vector.Vector{at("old", 0)}, 1); err == nil {
		t.Error("what was dropped still answers")
	}
}
