package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/millrace-go/millrace/internal/npy"
	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity/vector"
)

// difference is the largest one between our components' values and those that
// scikit-learn finds in float64.
func difference(scikit *peer, file string, ours *millrace) (float64, error) {
	if _, err := scikit.do("save", file); err != nil {
		return 0, err
	}
	theirs, err := read(file)
	if err != nil {
		return 0, err
	}
	largest := 0.0
	for k := range ours.pca.Components() {
		for j, x := range ours.pca.Component(k) {
			largest = max(largest, math.Abs(x-theirs[k*ours.pca.Dim()+j]))
		}
	}
	return largest, nil
}

// exchanged has scikit-learn reduce some vectors by the PCA that we export, and us by
// those that it fits and numpy saves: what both make of them must be the same.
func exchanged(ctx context.Context, scikit *peer, dir string, ours *millrace) error {
	const some = 100
	file, result := filepath.Join(dir, "exported.npz"), filepath.Join(dir, "reduced.npy")
	if err := ours.pca.SaveNPZ(file); err != nil {
		return err
	}
	if _, err := scikit.do("take", file, result, strconv.Itoa(some)); err != nil {
		return err
	}
	if err := alike(ctx, ours.pca, ours.vectors[:some], result); err != nil {
		return fmt.Errorf("our PCA: %w", err)
	}
	for _, form := range []string{"F f4", "C f8"} { // order and type
		if _, err := scikit.do("give", file, result, strconv.Itoa(some), form); err != nil {
			return err
		}
		theirs, err := reduce.LoadNPZ(file, ours.vectors[0].Space)
		if err == nil {
			err = alike(ctx, theirs, ours.vectors[:some], result)
		}
		if err != nil {
			return fmt.Errorf("scikit-learn's PCA, as %s: %w", form, err)
		}
	}
	return nil
}

// alike tells where what a PCA makes of vectors is not what scikit-learn made of
// them, in 100,000 parts of the largest value.
func alike(ctx context.Context, pca *reduce.PCA, vectors []vector.Vector, result string) error {
	theirs, err := read(result)
	if err != nil {
		return err
	}
	reduced, err := pca.Transform(ctx, vectors)
	if err != nil {
		return err
	}
	if len(theirs) != len(reduced)*pca.Components() {
		return fmt.Errorf("scikit-learn reduced %d vectors of %d to %d values", len(reduced), pca.Components(), len(theirs))
	}
	largest := 0.0
	for _, x := range theirs {
		largest = max(largest, math.Abs(x))
	}
	for i, v := range reduced {
		for j, x := range v.Values {
			if want := theirs[i*len(v.Values)+j]; !(math.Abs(float64(x)-want) <= 1e-5*largest) {
				return fmt.Errorf("value %d of vector %d is %v, and by scikit-learn %v", j, i, x, want)
			}
		}
	}
	return nil
}

// read gives an array's numbers.
func read(file string) ([]float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a, err := npy.NewReader(f)
	if err != nil {
		return nil, err
	}
	return npy.Values[float64](a)
}
