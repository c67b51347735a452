package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// Options say what [Measure] measures. The zero value is ready.
type Options struct {
	Sizes   []int             // numbers of components; empty: some, up to the vectors' values
	K       int               // how many neighbours are looked for; 0: 10
	Queries int               // how many vectors are held out; 0: a tenth of them, at most 500
	Seed    uint64            // decides which are held out
	Log     func(done string) // told of each size, if not nil
}

// Report says what each size keeps.
type Report struct {
	Dim     int    `json:"dim"`     // values of a vector
	Vectors int    `json:"vectors"` // that the PCA was fitted to, and that were searched
	Queries int    `json:"queries"` // that were held out
	K       int    `json:"k"`
	Sizes   []Size `json:"sizes"` // ascending
}

// Size is what is left of the vectors at one number of components.
type Size struct {
	Components int `json:"components"`
	// Variance is the part of the fitted vectors' variance that is kept.
	Variance float64 `json:"variance"`
	// Error is the mean squared distance of the queries to what their reduced
	// vectors stand for; RelativeError the part of their mean squared distance to
	// the mean that this is.
	Error         float64 `json:"error"`
	RelativeError float64 `json:"relative_error"`
	// First is the part of the queries whose nearest vector is still the nearest;
	// Recall the part of the K nearest that is still among the K nearest. An
	// equally near one is as good.
	First  float64 `json:"first"`
	Recall float64 `json:"recall"`
	// Refined is the part of the vectors that a similarity.Refined of this size
	// measures whole to prove which are the K nearest by all values, of the median
	// query; and Refined95, which 95 of 100 queries do not exceed.
	Refined   float64 `json:"refined"`
	Refined95 float64 `json:"refined95"`
}

// Measure fits a PCA to most of the vectors and looks for the neighbours of the
// others among them, by Euclidean distance: by all values, and reduced to each
// size. All of vs must be of one space and dimension.
//
// It takes as long as searching for the queries twice a size, and memory for all
// vectors three times.
func Measure(ctx context.Context, vs []vector.Vector, o Options) (*Report, error) {
	if len(vs) < 20 {
		return nil, fmt.Errorf("report: %d vectors are too few: some are held out, and a PCA is fitted to the others", len(vs))
	}
	for i, v := range vs {
		if err := v.CheckIn(vs[0].Space, len(vs[0].Values)); err != nil {
			return nil, fmt.Errorf("report: vector %d: %w", i, err)
		}
	}
	o.K = cmp.Or(o.K, 10)
	o.Queries = cmp.Or(o.Queries, min(len(vs)/10, 500))
	if o.Queries < 1 || o.Queries > len(vs)/2 {
		return nil, fmt.Errorf("report: %d queries of %d vectors: hold out at least one and at most half", o.Queries, len(vs))
	}
	if o.K < 1 || o.K > len(vs)-o.Queries {
		return nil, fmt.Errorf("report: the %d nearest of %d vectors", o.K, len(vs)-o.Queries)
	}
	shuffled := slices.Clone(vs)
	rand.New(rand.NewPCG(o.Seed, 0)).Shuffle(len(vs), func(i, j int) {
		shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
	})
	m := &measurement{queries: shuffled[:o.Queries], base: shuffled[o.Queries:], k: o.K}
	sizes, err := m.sizes(o.Sizes)
	if err != nil {
		return nil, err
	}
	if err := m.begin(ctx, sizes[len(sizes)-1]); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r := &Report{Dim: len(vs[0].Values), Vectors: len(m.base), Queries: len(m.queries), K: o.K}
	for _, n := range sizes {
		s, err := m.size(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("report: %d components: %w", n, err)
		}
		r.Sizes = append(r.Sizes, s)
		if o.Log != nil {
			o.Log(fmt.Sprintf("%d components keep %.1f %% of the %d nearest; to prove them takes %.2f %% of the vectors", n, 100*s.Recall, o.K, 100*s.Refined))
		}
	}
	return r, nil
}

// measurement is what all sizes have in common.
type measurement struct {
	queries, base []vector.Vector
	k             int
	pca           *reduce.PCA // of the largest size
	spread        float64     // the queries' mean squared distance to the mean
	nearest       [][]similarity.Hit
}

// sizes are those asked for, or some that show where it bends.
func (m *measurement) sizes(asked []int) ([]int, error) {
	dim := len(m.base[0].Values)
	most := min(dim, len(m.base))
	sizes := slices.Clone(asked)
	if len(sizes) == 0 {
		for _, n := range []int{2, 5, 10, 25, 50, 75, 100, 150, 200, 256, 300, 384, 512, 768, 1024, 1536, 2048, 3072} {
			if n < most {
				sizes = append(sizes, n)
			}
		}
		sizes = append(sizes, most)
	}
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	if sizes[0] < 1 || sizes[len(sizes)-1] > most {
		return nil, fmt.Errorf("report: sizes %v of %d vectors of %d values: from 1 to %d there are", sizes, len(m.base), dim, most)
	}
	return sizes, nil
}

// begin fits the largest size and finds the true neighbours.
func (m *measurement) begin(ctx context.Context, largest int) error {
	var f reduce.PCAFitter
	if err := f.Add(m.base...); err != nil {
		return err
	}
	var err error
	if m.pca, err = f.Fit(largest); err != nil {
		return err
	}
	mean := m.pca.Mean()
	for _, q := range m.queries {
		for j, x := range q.Values {
			d := float64(x) - mean[j]
			m.spread += d * d / float64(len(m.queries))
		}
	}
	m.nearest, err = find(ctx, m.base, m.queries, m.k)
	return err
}

// find gives the k nearest of base, whose ids are their places.
func find(ctx context.Context, base, queries []vector.Vector, k int) ([][]similarity.Hit, error) {
	x := similarity.NewIndex(similarity.Euclidean)
	if err := x.Add(items(base)...); err != nil {
		return nil, err
	}
	return x.Nearest(ctx, queries, k)
}

func (m *measurement) size(ctx context.Context, n int) (Size, error) {
	p, err := m.pca.Truncate(n)
	if err != nil {
		return Size{}, err
	}
	s := Size{Components: n}
	for _, part := range p.ExplainedVarianceRatio() {
		s.Variance += part
	}
	if s.Error, err = p.ReconstructionError(m.queries...); err != nil {
		return Size{}, err
	}
	if m.spread > 0 {
		s.RelativeError = s.Error / m.spread
	}
	base, err1 := p.Transform(ctx, m.base)
	queries, err2 := p.Transform(ctx, m.queries)
	if err := errors.Join(err1, err2); err != nil {
		return Size{}, err
	}
	found, err := find(ctx, base, queries, m.k)
	if err != nil {
		return Size{}, err
	}
	first, kept := 0, 0
	for i, hits := range found {
		truth := m.nearest[i]
		for j, h := range hits {
			at, err := strconv.Atoi(h.ID)
			if err != nil {
				return Size{}, err
			}
			d, err := similarity.Euclidean.Distance(m.queries[i].Values, m.base[at].Values)
			if err != nil {
				return Size{}, err
			}
			if j == 0 && d <= truth[0].Distance {
				first++
			}
			if d <= truth[m.k-1].Distance {
				kept++
			}
		}
	}
	s.First = float64(first) / float64(len(m.queries))
	s.Recall = float64(kept) / float64(len(m.queries)*m.k)
	s.Refined, s.Refined95, err = m.refined(ctx, p)
	return s, err
}

// refined measures what part of base an exact search through p looks at, of the
// median query and of all but 5 in 100.
func (m *measurement) refined(ctx context.Context, p *reduce.PCA) (median, most float64, err error) {
	x, err := similarity.NewRefined(similarity.Euclidean, p)
	if err != nil {
		return 0, 0, err
	}
	if err := x.Add(items(m.base)...); err != nil {
		return 0, 0, err
	}
	_, work, err := x.Search(ctx, m.queries, m.k, 0)
	if err != nil {
		return 0, 0, err
	}
	slices.SortFunc(work, func(a, b similarity.Work) int { return a.Measured - b.Measured })
	part := func(i int) float64 { return float64(work[i].Measured) / float64(len(m.base)) }
	return part(len(work) / 2), part(len(work) * 95 / 100), nil
}

// items have their places as ids.
func items(vs []vector.Vector) []similarity.Item {
	all := make([]similarity.Item, len(vs))
	for i, v := range vs {
		all[i] = similarity.Item{ID: strconv.Itoa(i), Vector: v}
	}
	return all
}
