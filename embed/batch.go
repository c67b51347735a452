package embed

import (
	"cmp"
	"slices"
)

// batch is the texts that run together, by their places in a list.
type batch []int

// planner puts texts into batches. It keeps its memory from one plan to the
// next; the zero value is ready.
type planner struct {
	order   []int
	batches []batch
}

// plan puts texts of similar length together: sorted by their number of tokens,
// the longest first, in batches of at most budget tokens, the padding up to the
// longest of the batch counted. Since the padded length times the budget bounds
// the attention's memory, that is bounded too. A text above the budget is alone.
// With more than one runner, batches are made smaller so that each gets some.
// The batches are good until the next plan.
func (p *planner) plan(texts []tokenized, budget, runners int) []batch {
	p.order, p.batches = grown(p.order, len(texts)), p.batches[:0]
	total := 0
	for i := range texts {
		p.order[i] = i
		total += len(texts[i].ids)
	}
	slices.SortStableFunc(p.order, func(a, b int) int { return cmp.Compare(len(texts[b].ids), len(texts[a].ids)) })
	if runners > 1 {
		budget = min(budget, (total+runners-1)/runners)
	}
	for order := p.order; len(order) > 0; {
		longest := max(len(texts[order[0]].ids), 1)
		n := min(max(budget/longest, 1), len(order))
		p.batches = append(p.batches, order[:n:n])
		order = order[n:]
	}
	return p.batches
}
