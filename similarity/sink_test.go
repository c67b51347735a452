package similarity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/similaritytest"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// witness is a collection that remembers what it was told, and how.
type witness struct {
	similarity.Collection
	mu      sync.Mutex
	told    []similarity.Item
	calls   int
	batches []int // sizes of the batches of queries
}

func (w *witness) Add(items ...similarity.Item) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	err := w.Collection.Add(items...)
	if err == nil {
		w.told = append(w.told, items...)
	}
	return err
}

func (w *witness) Delete(ids ...string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		w.told = append(w.told, similarity.Item{ID: id})
	}
	return w.Collection.Delete(ids...)
}

func (w *witness) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]similarity.Hit, error) {
	w.mu.Lock()
	w.batches = append(w.batches, len(queries))
	w.mu.Unlock()
	return w.Collection.Nearest(ctx, queries, k)
}

func TestIntoIsASink(t *testing.T) {
	for name, collection := range fed(2) {
		t.Run(name, func(t *testing.T) {
			stagetest.TestSink(t, func(tb testing.TB) stagetest.SinkFixture[similarity.Item] {
				w := &witness{Collection: collection(tb)}
				return stagetest.SinkFixture[similarity.Item]{
					Sink: similarity.Into(w),
					Value: func(i int) similarity.Item {
						it := similarity.Item{ID: fmt.Sprint(i)}
						if i%5 != 4 { // a tombstone
							it.Vector = vector.Vector{Space: space, Values: []float32{float32(i), 1}}
						}
						return it
					},
					Written: func() []stage.Record[similarity.Item] {
						w.mu.Lock()
						defer w.mu.Unlock()
						recs := make([]stage.Record[similarity.Item], len(w.told))
						for i, it := range w.told {
							recs[i].Value = it
						}
						return recs
					},
					Without: stagetest.Keys | stagetest.Headers | stagetest.Times,
					TooLarge: func() similarity.Item {
						return similarity.Item{ID: "wrong", Vector: vector.Vector{Space: space, Values: []float32{1, 2, 3}}}
					},
				}
			})
		})
	}
}

func TestIntoRefusesWhatIsNoItem(t *testing.T) {
	to := similarity.Into(&similarity.Index{})
	for _, it := range []similarity.Item{{}, {ID: "a", Vector: vector.Vector{Space: "s"}}, {ID: "a", Vector: vector.Vector{Values: []float32{1}}}} {
		err := to.Encode(it, &stage.Raw{}, func(int, stage.Raw) { t.Errorf("%v was emitted", it) })
		if err == nil {
			t.Errorf("%v: no error", it)
		}
	}
}

// TestMicroBatchIsOneCall has a stage collect queries, and one call answer them.
func TestMicroBatchIsOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := witness{Collection: &similarity.Index{}}
		if err := w.Add(similarity.Item{ID: "a", Vector: vector.Vector{Space: space, Values: []float32{1}}}); err != nil {
			t.Fatal(err)
		}
		var questions stagetest.Source[vector.Vector]
		var answers stagetest.Sink[[]similarity.Hit]
		for i := range 64 {
			questions.Push(0, []byte(fmt.Sprint(i)), vector.Vector{Space: space, Values: []float32{float32(i)}})
		}
		questions.End()
		err := stage.Run(t.Context(), &stage.Stage[vector.Vector, []similarity.Hit]{
			Source: questions.Source(), Transform: similarity.Nearest(&w, 1), Sink: answers.Sink(),
			Workers: 1, BatchSize: 64, BatchWait: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(w.batches) != 1 || w.batches[0] != 64 || len(answers.Values()) != 64 {
			t.Fatalf("calls of %v queries and %d answers, want one of 64, and 64", w.batches, len(answers.Values()))
		}
	})
}

func TestSpaces(t *testing.T) {
	at := func(space string, v ...float32) vector.Vector { return vector.Vector{Space: space, Values: v} }
	item := func(id string, v vector.Vector) similarity.Item { return similarity.Item{ID: id, Vector: v} }
	var s similarity.Spaces
	if _, err := s.Nearest(t.Context(), []vector.Vector{at("old", 1)}, 1); err == nil || !strings.Contains(err.Error(), `"old"`) {
		t.Errorf("nothing there: error %v", err)
	}
	s.Put("old", build(t, similarity.Euclidean, []similarity.Item{item("a", at("old", 1)), item("b", at("old", 2))}))
	s.Put("new", build(t, similarity.Euclidean, []similarity.Item{item("a", at("new", 7, 7)), item("b", at("new", 8, 8))}))
	queries := []vector.Vector{at("new", 8, 8), at("old", 1), at("gone", 1), at("new", 1), at("new", 7, 7)}
	hits, err := s.Nearest(t.Context(), queries, 1)
	batch, ok := errors.AsType[*stage.BatchError](err)
	if !ok || len(batch.Errs) != 5 {
		t.Fatalf("error %v, want a BatchError of 5", err)
	}
	for i, want := range []string{"b", "a", "", "", "a"} {
		if want == "" {
			if !stage.IsPermanent(batch.Errs[i]) {
				t.Errorf("query %d: error %v, want a permanent one", i, batch.Errs[i])
			}
			continue
		}
		if batch.Errs[i] != nil || hits[i][0] != (similarity.Hit{ID: want}) {
			t.Errorf("query %d: %v, %v; want %s at 0", i, hits[i], batch.Errs[i], want)
		}
	}
	if err := batch.Errs[2]; !strings.Contains(err.Error(), `"gone"`) || !strings.Contains(err.Error(), `"new"`) {
		t.Errorf("error %v does not name the spaces", err)
	}

	// Swapped whole, fed by one stream, dropped.
	s.Put("new", &similarity.Index{})
	if err := s.Add(item("c", at("new", 1, 1)), item("c", at("old", 3))); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(item("d", at("gone", 1))); !stage.IsPermanent(err) {
		t.Errorf("an item of no space: error %v, want a permanent one", err)
	}
	if err := s.Delete("a"); err != nil {
		t.Fatal(err)
	}
	hits, err = s.Nearest(t.Context(), []vector.Vector{at("new", 9, 9), at("old", 0)}, 5)
	if err != nil || len(hits[0]) != 1 || len(hits[1]) != 2 || hits[1][0].ID != "b" {
		t.Errorf("got %v, %v; want c, and b and c", hits, err)
	}
	s.Drop("old")
	_, err = s.Nearest(t.Context(), []vector.Vector{at("old", 0)}, 1)
	if batch, ok := errors.AsType[*stage.BatchError](err); !ok {
		t.Errorf("after Drop: error %v", err)
	} else if e, ok := errors.AsType[*vector.SpaceError](batch.Errs[0]); !ok || e.Got != "old" || e.Want != "new" {
		t.Errorf("after Drop: error %v does not name both spaces", err)
	}
}

func TestSpacesIsAFinder(t *testing.T) {
	similaritytest.TestFinder(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item) similarity.Finder {
		var s similarity.Spaces
		s.Put(items[0].Vector.Space, build(t, metric, items))
		return &s
	})
}
