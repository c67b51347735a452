// Package results is what benchmarks have in common: the files they write, and
// the figures in them.
package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Row is a figure of one system in one case. All systems of a case are
// measured in the same run, by turns.
type Row struct {
	Case   string  `json:"case"`   // in plain words
	System string  `json:"system"` // "millrace", or a peer
	Metric string  `json:"metric"` // the unit, such as "ms/question"
	Value  float64 `json:"value"`
	Better string  `json:"better"` // "lower" or "higher"
}

// Write puts the rows into dir/name.json, and text for people into
// dir/name.md.
func Write(dir, name string, rows []Row, text string) error {
	data, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	base := filepath.Join(dir, name)
	err = errors.Join(
		os.WriteFile(base+".json", append(data, '\n'), 0o644),
		os.WriteFile(base+".md", []byte(text), 0o644),
	)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// Spread sums up measurements that were taken in rounds.
type Spread struct {
	Median   float64
	P10, P90 float64 // a tenth of all measurements is below, a tenth above
	Low      float64 // the lowest and the highest of the rounds' medians
	High     float64
}

// Summarize takes the measurements of each round. There must be some in each.
func Summarize(rounds [][]float64) Spread {
	all := slices.Concat(rounds...)
	s := Spread{Median: Quantile(all, 0.5), P10: Quantile(all, 0.1), P90: Quantile(all, 0.9), Low: math.Inf(1)}
	for _, r := range rounds {
		m := Quantile(r, 0.5)
		s.Low, s.High = min(s.Low, m), max(s.High, m)
	}
	return s
}

// Quantile is the value that a part q of all values is below, between two of
// them by linear interpolation. There must be values.
func Quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i == len(sorted)-1 {
		return sorted[i]
	}
	part := at - float64(i)
	return sorted[i]*(1-part) + sorted[i+1]*part
}
