package similarity_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/similaritytest"
)

func TestWhereLeavesOut(t *testing.T) {
	similaritytest.TestFiltered(t, func(t *testing.T, metric similarity.Metric, items []similarity.Item, without []string) similarity.Finder {
		return build(t, metric, items).Where(func(id string) bool { return !slices.Contains(without, id) })
	})
}

func TestConditionCheck(t *testing.T) {
	for _, good := range []similarity.Condition{
		{Column: "a", Value: "text"}, {Column: "_1", Is: similarity.AtLeast, Value: 7}, {Column: "A", Value: int64(7)},
		{Column: "a", Value: 0.5}, {Column: "a", Value: true}, {Column: "a", Is: similarity.Below, Value: time.Time{}},
		{Column: "a", Is: similarity.In, Value: []string{"x"}}, {Column: "a", Is: similarity.NotIn, Value: []int64(nil)}, {Column: "a", Is: similarity.In, Value: []float64{1}},
	} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for want, bad := range map[string]similarity.Condition{
		"name does not match": {Column: "a`b", Value: 1},
		`column ""`:           {Value: 1},
		"Comparison(9)":       {Column: "a", Is: 9, Value: 1},
		"type <nil>":          {Column: "a"},
		"type []int":          {Column: "a", Is: similarity.In, Value: []int{1}},
		"IN with a string":    {Column: "a", Is: similarity.In, Value: "x"},
		"= with a []string":   {Column: "a", Value: []string{"x"}},
		"not UTF-8":           {Column: "a", Value: "\xff"},
		"NaN":                 {Column: "a", Is: similarity.NotIn, Value: []float64{math.NaN()}},
	} {
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", bad, err, want)
		}
	}
}
