package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/millrace-go/millrace/internal/npy"
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

// exported has scikit-learn reduce some vectors by the PCA that we export: what it
// makes of them must be ours.
func exported(ctx context.Context, scikit *peer, dir string, ours *millrace) error {
	const some = 100
	file, result := filepath.Join(dir, "exported.npz"), filepath.Join(dir, "reduced.npy")
	if err := ours.pca.SaveNPZ(file); err != nil {
		return err
	}
	if _, err := scikit.do("take", file, result, strconv.Itoa(some)); err != nil {
		return err
	}
	theirs, err := read(result)
	if err != nil {
		return err
	}
	reduced, err := ours.pca.Transform(ctx, ours.vectors[:some])
	if err != nil {
		return err
	}
	for i, v := range reduced {
		for j, x := range v.Values {
			if want := theirs[i*len(v.Values)+j]; !(math.Abs(float64(x)-want) <= 1e-6) {
				return fmt.Errorf("value %d of vector %d is %v, and by scikit-learn, with our PCA, %v", j, i, x, want)
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
