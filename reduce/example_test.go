package reduce_test

import (
	"context"
	"fmt"

	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity/vector"
)

func Example() {
	at := func(x, y float32) vector.Vector {
		return vector.Vector{Space: "plane", Values: []float32{x, y}}
	}
	// Points along a line: one number says where on it each of them is.
	var fitter reduce.PCAFitter
	if err := fitter.Add(at(0, 0), at(3, 4), at(6, 8), at(9, 12)); err != nil {
		fmt.Println(err)
		return
	}
	pca, err := fitter.Fit(1)
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := pca.Transform(context.Background(), []vector.Vector{at(0, 0), at(9, 12)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("variance kept: %.0f %%\n", 100*pca.ExplainedVarianceRatio()[0])
	fmt.Printf("%.1f to %.1f\n", out[0].Values[0], out[1].Values[0])
	fmt.Println("a space of its own:", out[0].Space == pca.Space() && out[0].Space != "plane")

	_, err = fitter.Fit(3)
	fmt.Println(err)
	// Output:
	// variance kept: 100 %
	// -7.5 to 7.5
	// a space of its own: true
	// reduce: 3 components of vectors of 2 values: there are no more than 2
}
