package report_test

import (
	"context"
	"fmt"

	"github.com/millrace-go/millrace/reduce/report"
)

func ExampleMeasure() {
	vectors := decaying(1, 1000, 16)
	r, err := report.Measure(context.Background(), vectors, report.Options{Sizes: []int{4, 8, 16}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range r.Sizes {
		fmt.Printf("%2d components keep %3.0f %% of the variance and %3.0f %% of the 10 nearest\n", s.Components, 100*s.Variance, 100*s.Recall)
	}
	// Output:
	//  4 components keep  90 % of the variance and  54 % of the 10 nearest
	//  8 components keep  96 % of the variance and  80 % of the 10 nearest
	// 16 components keep 100 % of the variance and 100 % of the 10 nearest
}
