package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// checkTools names all the programs that are missing at once.
func checkTools(ctx context.Context, parts []part, found clients) error {
	var missing []string
	add := func(what string) {
		if !slices.Contains(missing, what) {
			missing = append(missing, what)
		}
	}
	for _, p := range parts {
		for _, tool := range p.tools {
			if _, err := exec.LookPath(tool); err != nil {
				add(tool)
			}
		}
	}
	slices.Sort(missing)
	for _, p := range parts {
		var needs []client
		open := slices.ContainsFunc(p.ways, func(w way) bool {
			_, ok := found.find(ctx, w.client)
			needs = append(needs, w.client)
			return ok || w.client == none
		})
		if !open {
			add(names(needs) + " for " + p.name)
		}
	}
	if len(missing) == 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("missing programs: %s; install them and run this again", strings.Join(missing, "; "))
}
