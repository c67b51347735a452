package main

import (
	"math"
	"slices"

	"github.com/millrace-go/millrace/internal/parallel"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// bruteForce is the definition, in float64: the places of the nearest 10 items
// of each vector, equal ones in the items' order.
func bruteForce(items []similarity.Item, vectors []vector.Vector) [][]int {
	answers := make([][]int, len(vectors))
	parallel.Each(len(vectors), func(i int) { answers[i] = nearest(items, vectors[i].Values) })
	return answers
}

// near is an item's place and squared distance.
type near struct {
	row    int
	square float64
}

func nearest(items []similarity.Item, query []float32) []int {
	q := make([]float64, len(query))
	for d, v := range query {
		q[d] = float64(v)
	}
	best := make([]near, 0, neighbours)
	for row, it := range items {
		worst := math.Inf(1)
		if len(best) == neighbours {
			worst = best[neighbours-1].square
		}
		square := squares(q, it.Vector.Values, worst)
		if square >= worst {
			continue
		}
		best = append(best[:min(len(best), neighbours-1)], near{row, square})
		slices.SortStableFunc(best, func(a, b near) int {
			switch {
			case a.square < b.square:
				return -1
			case a.square > b.square:
				return 1
			}
			return 0
		})
	}
	rows := make([]int, len(best))
	for i, n := range best {
		rows[i] = n.row
	}
	return rows
}

// squares is sum((q-x)^2), or a part of it that is not below limit. It takes most
// of a test's time.
//
//go:norace
func squares(q []float64, x []float32, limit float64) float64 {
	q = q[:len(x)]
	var s0, s1, s2, s3 float64
	for d := 0; d < len(x)&^3; d += 4 {
		e0, e1 := q[d]-float64(x[d]), q[d+1]-float64(x[d+1])
		e2, e3 := q[d+2]-float64(x[d+2]), q[d+3]-float64(x[d+3])
		s0, s1, s2, s3 = s0+e0*e0, s1+e1*e1, s2+e2*e2, s3+e3*e3
		if d%32 == 0 && s0+s1+s2+s3 >= limit {
			return s0 + s1 + s2 + s3 // what is to come is not negative
		}
	}
	for d := len(x) &^ 3; d < len(x); d++ {
		e := q[d] - float64(x[d])
		s0 += e * e
	}
	return s0 + s1 + s2 + s3
}
