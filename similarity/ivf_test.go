package similarity

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// inClusters are items around centres, which are always the same.
func inClusters(rng *rand.Rand, n, clusters, dim int) []Item {
	fixed := rand.New(rand.NewPCG(1, 0))
	centres := make([]float64, clusters*dim)
	for i := range centres {
		centres[i] = fixed.NormFloat64()
	}
	items := make([]Item, n)
	for i := range items {
		items[i] = Item{fmt.Sprintf("%06d", i), vector.Vector{Space: "s", Values: make([]float32, dim)}}
		centre := centres[rng.IntN(clusters)*dim:]
		for d := range dim {
			items[i].Vector.Values[d] = float32(centre[d] + 0.8*rng.NormFloat64())
		}
	}
	return items
}

func vectorsOf(items []Item) []vector.Vector {
	vectors := make([]vector.Vector, len(items))
	for i, it := range items {
		vectors[i] = it.Vector
	}
	return vectors
}

func trained(t *testing.T, metric Metric, lists int, items []Item, options ...Option) *IVF {
	t.Helper()
	x, err := NewIVF(metric, options...)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(x.Add(items...), x.Train(t.Context(), lists)); err != nil {
		t.Fatal(err)
	}
	return x
}

// TestIVFFindsMostByDefault holds recall@10 of new queries at the defaults,
// against the definition in float64, and that it takes a part of the lists.
func TestIVFFindsMostByDefault(t *testing.T) {
	const rows, queries, dim, k = 6000, 100, 16, 10
	items := inClusters(rand.New(rand.NewPCG(7, 0)), rows+queries, 60, dim)
	asked, items := vectorsOf(items[:queries]), items[queries:]
	options := map[Metric][]Option{Euclidean: nil, Cosine: {Quantized()}}
	for _, metric := range refinedMetrics {
		want := make([][]Hit, queries)
		for i, q := range asked {
			for _, it := range items {
				d, err := metric.Distance(q.Values, it.Vector.Values)
				if err != nil {
					t.Fatal(err)
				}
				want[i] = append(want[i], Hit{it.ID, d})
			}
			slices.SortFunc(want[i], compare)
		}
		x := trained(t, metric, 0, items, options[metric]...)
		got, err := x.Nearest(t.Context(), asked, k)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for i := range asked {
			for _, h := range want[i][:k] {
				if slices.Contains(got[i], h) {
					found++
				}
			}
		}
		recall := float64(found) / float64(k*queries)
		t.Logf("%v: recall@10 %.4f, %d of %d lists", metric, recall, x.Probes(), x.Lists())
		if recall < 0.95 {
			t.Errorf("%v: recall@10 %.4f, want 0.95", metric, recall)
		}
		if x.Lists() < 100 || x.Probes() > x.Lists()/8 {
			t.Errorf("%v: %d of %d lists searched", metric, x.Probes(), x.Lists())
		}
		r, err := x.Recall(t.Context(), asked, k)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(r.Value-recall) > 1e-9 {
			t.Errorf("%v: the self-check says %v, and it is %.4f", metric, r, recall)
		}
		if r, err = x.Recall(t.Context(), nil, k); err != nil || math.Abs(r.Value-recall) > 0.02 {
			t.Errorf("%v: of items, the self-check says %v, %v, and of queries it is %.4f", metric, r, err, recall)
		}
	}
}

// TestRecallReportsFaults spoils an IVF in several ways; the self-check must
// tell, and Tune put right what it can.
func TestRecallReportsFaults(t *testing.T) {
	items := inClusters(rand.New(rand.NewPCG(8, 0)), 5000, 40, 24)
	recall := func(x *IVF) float64 {
		t.Helper()
		r, err := x.Recall(t.Context(), nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(r)
		return r.Value
	}
	var saved bytes.Buffer
	if err := trained(t, Euclidean, 80, items).Save(&saved); err != nil {
		t.Fatal(err)
	}
	far := vector.Vector{Space: "s", Values: make([]float32, 24)}
	far.Values[0] = 1e6
	for _, c := range []struct {
		name  string
		spoil func(x *IVF)
		tuned bool // by Tune
	}{
		{"one list searched", func(x *IVF) { x.SetProbes(1) }, true},
		{"lists that no search looks into", func(x *IVF) {
			c := x.table.snapshot().coarse
			for list := 0; list < x.Lists(); list += 8 {
				if err := c.middles.Add(Item{fmt.Sprint(list), far}); err != nil {
					t.Fatal(err)
				}
			}
		}, true},
		{"items in the wrong lists", func(x *IVF) {
			for i := range x.table.next.views {
				v := &x.table.next.views[i]
				v.list = (v.list + i%2*7) % x.Lists()
			}
			x.SetProbes(x.Probes())
		}, true},
		{"other items than it was trained with", func(x *IVF) {
			if err := x.Add(vectors(rand.New(rand.NewPCG(9, 0)), 0, len(items), 24)...); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := LoadIVF(bytes.NewReader(saved.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			good := recall(x)
			c.spoil(x)
			bad := recall(x)
			if good < 0.95 || bad > good-0.05 {
				t.Fatalf("recall is %.4f, and %.4f of the spoilt one", good, bad)
			}
			r, err := x.Tune(t.Context(), nil, 10, 0.99)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("tuned: %v", r)
			if got := recall(x); c.tuned && (got < 0.99 || r.Value != got || r.Probes != x.Probes()) {
				t.Errorf("tuned to 0.99 with %v, recall is %.4f by %d lists", r, got, x.Probes())
			}
		})
	}
}

// TestIVFChangesAtRandom holds an IVF that changes against a map that does: with
// all lists searched it is exact; with one, what it finds is true, in order, and
// as many as there are.
func TestIVFChangesAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, metric := range refinedMetrics {
		for _, options := range [][]Option{nil, {Quantized()}} {
			ivfChanges(t, rng, metric, options)
		}
	}
}

func ivfChanges(t *testing.T, rng *rand.Rand, metric Metric, options []Option) {
	t.Helper()
	x, err := NewIVF(metric, options...)
	if err != nil {
		t.Fatal(err)
	}
	c := &changes{rng: rng, ids: 2000, adds: 300, deletes: 200, all: make(map[string]vector.Vector)}
	for round := range 25 {
		c.apply(t, x, round%10 == 9)
		if round%7 == 3 && len(c.all) > 1 {
			if err := x.Train(t.Context(), rng.IntN(30)); err != nil {
				t.Fatal(err)
			}
		}
		if round%5 == 4 {
			var saved bytes.Buffer
			if err := x.Save(&saved); err != nil {
				t.Fatal(err)
			}
			lists, probes := x.Lists(), x.Probes()
			if x, err = LoadIVF(&saved, options...); err != nil {
				t.Fatal(err)
			}
			if len(c.all) > 0 && (x.Lists() != lists || x.Probes() != probes) {
				t.Fatalf("saved with %d of %d lists, loaded with %d of %d", probes, lists, x.Probes(), x.Lists())
			}
		}
		qs := []vector.Vector{c.random(), c.random(), c.random()}
		keep := func(id string) bool { return !strings.HasSuffix(id, "7") }
		kept := maps.Clone(c.all)
		maps.DeleteFunc(kept, func(id string, _ vector.Vector) bool { return !keep(id) })
		for _, probes := range []int{1, 3, math.MaxInt32} {
			for _, k := range []int{12, 1000} {
				x.SetProbes(probes)
				got, err := x.Where(keep).Nearest(t.Context(), qs, k)
				if err != nil {
					t.Fatal(err)
				}
				for i, q := range qs {
					want := exact(t, metric, kept, q.Values, len(kept))
					if probes > 1000 && !slices.Equal(got[i], want[:min(k, len(want))]) {
						t.Fatalf("%v, round %d: got %v, want %v", metric, round, got[i], want)
					}
					if len(got[i]) != min(k, len(want)) || !slices.IsSortedFunc(got[i], compare) {
						t.Fatalf("%v, round %d: %d hits, want %d: %v", metric, round, len(got[i]), min(k, len(want)), got[i])
					}
					for _, h := range got[i] {
						if !slices.Contains(want, h) {
							t.Fatalf("%v, round %d: %v is not there", metric, round, h)
						}
					}
				}
			}
		}
	}
}

// TestIVFSearchesWhileItTrains replaces all items by others, and trains, under
// searches: each must see all items of one version.
func TestIVFSearchesWhileItTrains(t *testing.T) {
	const n = 300
	version := func(v float32) []Item {
		items := make([]Item, n)
		for i := range items {
			items[i] = Item{fmt.Sprint(i), vector.Vector{Space: "s", Values: []float32{float32(i % 7), v}}}
		}
		return items
	}
	x := trained(t, Euclidean, 7, version(0))
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for v := range 30 {
			if err := errors.Join(x.Add(version(float32(v))...), x.Train(t.Context(), 1+v%9)); err != nil {
				t.Error(err)
			}
		}
	})
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		hits, err := x.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{0, -1e4}}}, 2*n)
		if err != nil {
			t.Fatal(err)
		}
		if len(hits[0]) != n || hits[0][n-1].Distance-hits[0][0].Distance > 0.5 {
			t.Fatalf("%d hits, from %v to %v: want all %d of one version", len(hits[0]), hits[0][0], hits[0][len(hits[0])-1], n)
		}
	}
	wg.Wait()
}

func TestIVFTrainsTheSame(t *testing.T) {
	items := inClusters(rand.New(rand.NewPCG(3, 0)), 3000, 20, 16)
	var saved [2]bytes.Buffer
	for i := range saved {
		if err := trained(t, Cosine, 50, items).Save(&saved[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(saved[0].Bytes(), saved[1].Bytes()) {
		t.Error("the same items gave other lists")
	}
}

func TestIVFRefuses(t *testing.T) {
	if _, err := NewIVF(InnerProduct); err == nil || !strings.Contains(err.Error(), "inner product") {
		t.Errorf("inner product: error %v", err)
	}
	if _, err := NewIVF(9); err == nil || !strings.Contains(err.Error(), "Metric(9)") {
		t.Errorf("unknown metric: error %v", err)
	}
	var x IVF
	if err := x.Train(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "Add some") {
		t.Errorf("training without items: error %v", err)
	}
	if _, err := x.Recall(t.Context(), nil, 3); err == nil || !strings.Contains(err.Error(), "Add some") {
		t.Errorf("recall without items: error %v", err)
	}
	items := inClusters(rand.New(rand.NewPCG(3, 0)), 500, 5, 4)
	if err := x.Add(items...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Train(ctx, 5); !errors.Is(err, context.Canceled) || x.Lists() != 1 {
		t.Errorf("a cancelled training: error %v, %d lists", err, x.Lists())
	}
	if err := x.Train(t.Context(), 5); err != nil || x.Lists() != 5 {
		t.Fatalf("error %v, %d lists", err, x.Lists())
	}
	for _, want := range []float64{0, -1, 1.1, math.NaN()} {
		if _, err := x.Tune(t.Context(), nil, 3, want); !stage.IsPermanent(err) {
			t.Errorf("tuning to %v: error %v", want, err)
		}
	}
	if _, err := x.Recall(t.Context(), nil, 0); !stage.IsPermanent(err) {
		t.Errorf("k 0: error %v", err)
	}
	other := []vector.Vector{items[0].Vector, {Space: "other", Values: make([]float32, 4)}}
	if _, err := x.Recall(t.Context(), other, 3); !stage.IsPermanent(err) || !strings.Contains(err.Error(), `query 1: vector: of space "other"`) {
		t.Errorf("another space's queries: error %v", err)
	}
	if err := x.Add(items[0], Item{"b", other[1]}); !stage.IsPermanent(err) || x.Len() != 500 {
		t.Errorf("another space's item: error %v, %d items", err, x.Len())
	}
	// When all are gone, it is as new.
	for _, it := range items {
		if err := x.Delete(it.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Add(Item{"b", other[1]}); err != nil || x.Lists() != 1 || x.Space() != "other" {
		t.Errorf("error %v, %d lists, space %q", err, x.Lists(), x.Space())
	}
}

func TestLoadIVFRefusesDamage(t *testing.T) {
	var b bytes.Buffer
	if err := trained(t, Cosine, 3, inClusters(rand.New(rand.NewPCG(1, 0)), 9, 3, 3)).Save(&b); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		if _, err := LoadIVF(bytes.NewReader(bad)); err == nil {
			t.Errorf("byte %d changed, and no error", i)
		}
		if _, err := LoadIVF(bytes.NewReader(good[:i])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at byte %d: error %v", i, err)
		}
	}
	if _, err := Load(bytes.NewReader(good)); err == nil || !strings.Contains(err.Error(), "not a file of this kind") {
		t.Errorf("as an Index: error %v", err)
	}
}

func FuzzLoadIVF(f *testing.F) {
	for _, lists := range []int{1, 2} {
		var x IVF
		for _, it := range inClusters(rand.New(rand.NewPCG(1, 0)), 4, 2, 2) {
			if err := x.Add(it); err != nil {
				f.Fatal(err)
			}
		}
		if err := x.Train(f.Context(), lists); err != nil {
			f.Fatal(err)
		}
		var b bytes.Buffer
		if err := x.Save(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum is put right, so that the fields behind it get their turn.
		if n := len(b); n > 4 {
			b = binary.LittleEndian.AppendUint32(bytes.Clone(b[:n-4]), crc32.Checksum(b[:n-4], castagnoli()))
		}
		x, err := LoadIVF(bytes.NewReader(b))
		if err != nil {
			return
		}
		if now := x.table.snapshot(); now.live > 0 {
			q := vector.Vector{Space: now.space, Values: make([]float32, now.dim)}
			q.Values[0] = 1
			if hits, err := x.Nearest(t.Context(), []vector.Vector{q}, 3); err != nil || len(hits[0]) != min(3, now.live) {
				t.Fatalf("%v, %v of %d items", hits, err, now.live)
			}
		}
		var saved, again bytes.Buffer
		if err := x.Save(&saved); err != nil {
			t.Fatal(err)
		}
		if x, err = LoadIVF(bytes.NewReader(saved.Bytes())); err != nil {
			t.Fatal(err)
		}
		if err := x.Save(&again); err != nil || !bytes.Equal(saved.Bytes(), again.Bytes()) {
			t.Fatalf("%q is saved as %q after loading, %v", saved.Bytes(), again.Bytes(), err)
		}
	})
}
