package main

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"time"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity/vector"
)

// system is somebody who fits and applies, and tells how many seconds it took.
type system interface {
	fit() (float64, error)
	one(n int) (float64, error) // a vector, n of them one after the other
	all(ctx context.Context) (float64, error)
}

// millrace is ours, on all cores, as a stage's workers use them.
type millrace struct {
	vectors []vector.Vector
	k       int
	pca     *reduce.PCA
}

func (m *millrace) fit() (float64, error) {
	begin := time.Now()
	var f reduce.PCAFitter
	err := f.Add(m.vectors...)
	if err == nil {
		m.pca, err = f.Fit(m.k)
	}
	return time.Since(begin).Seconds(), err
}

func (m *millrace) one(n int) (float64, error) {
	dst := make([]float32, m.k)
	begin := time.Now()
	for _, v := range m.vectors[:n] {
		if err := m.pca.TransformInto(dst, v); err != nil {
			return 0, err
		}
	}
	return time.Since(begin).Seconds() / float64(n), nil
}

func (m *millrace) all(ctx context.Context) (float64, error) {
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	begin := time.Now()
	var wg sync.WaitGroup
	for w := range workers {
		part := m.vectors[w*len(m.vectors)/workers : (w+1)*len(m.vectors)/workers]
		wg.Go(func() { _, errs[w] = m.pca.Transform(ctx, part) })
	}
	wg.Wait()
	return time.Since(begin).Seconds(), errors.Join(errs...)
}

// python is a peer in its own process.
type python struct{ *peer }

func (p python) fit() (float64, error)                { return p.do("fit") }
func (p python) one(n int) (float64, error)           { return p.do("one", strconv.Itoa(n)) }
func (p python) all(context.Context) (float64, error) { return p.do("all") }

// gonum is what a Go program finds first.
type gonum struct {
	rows       *mat.Dense // all vectors
	k          int
	components mat.Dense // values x k
}

func newGonum(vectors []vector.Vector, k int) *gonum {
	dim := len(vectors[0].Values)
	g := &gonum{rows: mat.NewDense(len(vectors), dim, nil), k: k}
	for i, v := range vectors {
		for j, x := range v.Values {
			g.rows.Set(i, j, float64(x))
		}
	}
	return g
}

func (g *gonum) fit() (float64, error) {
	begin := time.Now()
	var pc stat.PC
	if !pc.PrincipalComponents(g.rows, nil) {
		return 0, errors.New("gonum: the components were not found")
	}
	var all mat.Dense
	pc.VectorsTo(&all)
	dim, _ := all.Dims()
	g.components.CloneFrom(all.Slice(0, dim, 0, g.k))
	return time.Since(begin).Seconds(), nil
}

func (g *gonum) apply(rows mat.Matrix) {
	var out mat.Dense
	out.Mul(rows, &g.components) // it knows of no mean
}

func (g *gonum) one(n int) (float64, error) {
	begin := time.Now()
	_, dim := g.rows.Dims()
	for i := range n {
		g.apply(g.rows.Slice(i, i+1, 0, dim))
	}
	return time.Since(begin).Seconds() / float64(n), nil
}

func (g *gonum) all(context.Context) (float64, error) {
	begin := time.Now()
	g.apply(g.rows)
	return time.Since(begin).Seconds(), nil
}
