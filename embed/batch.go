package embed

import (
	"cmp"
	"slices"
)

// batch is the texts that run together, by their places in the call.
type batch []int

// plan puts texts of similar length together: sorted by their number of tokens,
// the longest first, in batches of at most budget tokens, the padding up to the
// longest of the batch counted. Since the padded length times the budget bounds
// the attention's memory, that is bounded too. A text above the budget is alone.
// With more than one runner, batches are made smaller so that each gets some.
func plan(ids [][]uint32, budget, runners int) []batch {
	order := make([]int, len(ids))
	total := 0
	for i := range ids {
		order[i] = i
		total += len(ids[i])
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(ids[b]), len(ids[a])) })
	if runners > 1 {
		budget = min(budget, (total+runners-1)/runners)
	}

	var batches []batch
	for len(order) > 0 {
		longest := max(len(ids[order[0]]), 1)
		n := min(max(budget/longest, 1), len(order))
		batches = append(batches, order[:n:n])
		order = order[n:]
	}
	return batches
}
