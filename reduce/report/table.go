package report

import (
	"fmt"
	"io"
	"strings"
)

// WriteTable writes the report as a table in Markdown, with what the figures are.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d vectors of %d values; the nearest of %d others that the PCA has not seen.\n\n", r.Vectors, r.Dim, r.Queries)
	fmt.Fprintf(&b, "| components | bytes | variance kept | reconstruction error | nearest kept | %d nearest kept | refined: median, p95 |\n", r.K)
	b.WriteString("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, s := range r.Sizes {
		fmt.Fprintf(&b, "| %d | %d | %.1f %% | %.4g (%.1f %%) | %.1f %% | %.1f %% | %.2f %%, %.2f %% |\n",
			s.Components, 4*s.Components, 100*s.Variance, s.Error, 100*s.RelativeError, 100*s.First, 100*s.Recall, 100*s.Refined, 100*s.Refined95)
	}
	b.WriteString("\nReconstruction error: mean squared distance, and the part of that to the mean.\n")
	fmt.Fprintf(&b, "Refined: the part of the vectors that an exact search through so many components (similarity.Refined)\nhas to measure whole, to prove which are the %d nearest.\n", r.K)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
