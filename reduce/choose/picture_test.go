package main

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/reduce/report"
)

// point is a place in a picture, from the bottom left.
type point struct{ x, y float64 }

// drawn gives each name's line in a drawing of sizes of 10 and 100 components with
// the same measures, and where the legend begins.
func drawn(t *testing.T, s report.Size, names []string) (lines map[string][]point, legend float64) {
	t.Helper()
	r := &report.Report{Dim: 100, Vectors: 1000, Queries: 10, K: 10, Sizes: []report.Size{s, s}}
	r.Sizes[0].Components, r.Sizes[1].Components = 10, 100
	file := filepath.Join(t.TempDir(), "sizes.svg")
	if err := drawReport(r, file); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := regexp.MustCompile(`<path d="M([^"Z]+)" style="fill:none;stroke:(#[0-9A-F]{6})`)
	lines, legend = make(map[string][]point), math.Inf(1)
	for _, name := range names {
		// The legend's sample is the last line before the name, and its colour tells
		// which one is meant.
		before, _, found := strings.Cut(string(b), ">"+name+"<")
		paths := path.FindAllStringSubmatch(before, -1)
		if !found || len(paths) == 0 {
			t.Fatalf("no %q", name)
		}
		sample := paths[len(paths)-1]
		legend = min(legend, points(t, sample[1])[0].x)
		for _, p := range paths {
			if p[2] == sample[2] {
				lines[name] = points(t, p[1])
				break
			}
		}
	}
	return lines, legend
}

func points(t *testing.T, path string) (all []point) {
	t.Helper()
	for pair := range strings.SplitSeq(path, "L") {
		x, y, _ := strings.Cut(pair, ",")
		var p point
		var err1, err2 error
		p.x, err1 = strconv.ParseFloat(x, 64)
		p.y, err2 = strconv.ParseFloat(y, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("%q is no line", path)
		}
		all = append(all, p)
	}
	return all
}

// TestPictureDrawsTheMeasures wants each line to be of what its name says, at its
// height in per cent, and none to run through the names.
func TestPictureDrawsTheMeasures(t *testing.T) {
	set := map[string]func(s *report.Size, v float64){
		"10 nearest kept":      func(s *report.Size, v float64) { s.Recall = v },
		"nearest kept":         func(s *report.Size, v float64) { s.First = v },
		"variance kept":        func(s *report.Size, v float64) { s.Variance = v },
		"reconstruction error": func(s *report.Size, v float64) { s.RelativeError = v },
		"refined: p95":         func(s *report.Size, v float64) { s.Refined95 = v },
		"refined: median":      func(s *report.Size, v float64) { s.Refined = v },
	}
	var names []string
	for name := range set {
		names = append(names, name)
	}
	low, legend := drawn(t, report.Size{}, names)
	high, _ := drawn(t, report.Size{Variance: 1, RelativeError: 1, First: 1, Recall: 1, Refined: 1, Refined95: 1}, names)
	for changed := range set {
		var s report.Size
		set[changed](&s, 0.25)
		now, _ := drawn(t, s, names)
		for _, name := range names {
			part := 0.0
			if name == changed {
				part = 0.25
			}
			for i, p := range now[name] {
				bottom, top := low[name][i].y, high[name][i].y
				if want := bottom + part*(top-bottom); top-bottom < 100 || math.Abs(p.y-want) > 0.1 {
					t.Errorf("%s at 25 %%: %s is drawn at %v, want %v, of %v to %v", changed, name, p.y, want, bottom, top)
				}
				if p.x >= legend {
					t.Errorf("%s runs to %v, the names begin at %v", name, p.x, legend)
				}
			}
			if len(now[name]) != 2 {
				t.Errorf("%s has %d points", name, len(now[name]))
			}
		}
	}
}
