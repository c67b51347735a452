package reduce

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"gonum.org/v1/gonum/floats"

	"github.com/millrace-go/millrace/internal/npy"
	"github.com/millrace-go/millrace/internal/sealed"
	"github.com/millrace-go/millrace/similarity/vector"
)

// NPZOption changes what [LoadNPZ] accepts.
type NPZOption func(*npzOptions)

type npzOptions struct{ whitening bool }

// WithWhitening lets [LoadNPZ] load a PCA that whitens: see [PCA.Whiten] for
// why that is no good for nearest neighbours.
func WithWhitening() NPZOption { return func(o *npzOptions) { o.whitening = true } }

// LoadNPZ reads a PCA that scikit-learn fitted to vectors of inputSpace, from
// the arrays of its attributes:
//
//	numpy.savez("pca.npz", whiten=pca.whiten,
//	    **{name: value for name, value in vars(pca).items()
//	       if name.endswith("_") and not isinstance(value, str)})
//
// It needs components_, mean_ and explained_variance_, of float32 or float64, in
// C or Fortran order, compressed or not; of the others it takes n_samples_,
// explained_variance_ratio_ and whiten. What it makes of a vector equals what
// pca.transform makes of it, but for rounding.
func LoadNPZ(path, inputSpace string, opts ...NPZOption) (*PCA, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reduce: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reduce: %w", err)
	}
	p, err := ReadNPZ(f, info.Size(), inputSpace, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return p, nil
}

// ReadNPZ is [LoadNPZ] from size bytes of r.
func ReadNPZ(r io.ReaderAt, size int64, inputSpace string, opts ...NPZOption) (*PCA, error) {
	var o npzOptions
	for _, set := range opts {
		set(&o)
	}
	if err := (vector.Vector{Space: inputSpace, Values: []float32{0}}).Check(); err != nil {
		return nil, fmt.Errorf("reduce: the space of the vectors that the PCA was fitted to: %w", err)
	}
	a, err := npy.OpenArchive(r, size)
	if err != nil {
		return nil, fmt.Errorf("reduce: %w", err)
	}
	p := &PCA{inputSpace: inputSpace}
	if err := p.readNPZ(a); err != nil {
		return nil, fmt.Errorf("reduce: a PCA of scikit-learn's: %w", err)
	}
	if p.whitened && !o.whitening {
		return nil, errors.New("reduce: this PCA whitens, which changes which neighbours are nearest: fit it with whiten=False, or ask for it by WithWhitening")
	}
	p.finish()
	return p, nil
}

func (p *PCA) readNPZ(a *npy.Archive) (err error) {
	var components int
	p.rows, err = a.Read("components_", func(shape []int) error {
		if len(shape) != 2 || shape[0] < 1 || shape[0] > shape[1] || shape[1] > maxDim {
			return fmt.Errorf("of shape %v; it should be components x values, at most %d", shape, maxDim)
		}
		components, p.dim = shape[0], shape[1]
		return nil
	})
	if err != nil {
		return err
	}
	of := func(n int) func([]int) error {
		return func(shape []int) error {
			if len(shape) != 1 || shape[0] != n {
				return fmt.Errorf("of shape %v where components_ is %d x %d", shape, components, p.dim)
			}
			return nil
		}
	}
	if p.mean, err = a.Read("mean_", of(p.dim)); err != nil {
		return err
	}
	if p.variance, err = a.Read("explained_variance_", of(components)); err != nil {
		return err
	}
	number := func(name string) (float64, error) {
		if !a.Has(name) {
			return 0, nil
		}
		v, err := a.Read(name, func(shape []int) error {
			if len(shape) != 0 {
				return fmt.Errorf("of shape %v; it should be one number", shape)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		return v[0], nil
	}
	samples, err1 := number("n_samples_")
	whiten, err2 := number("whiten")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	p.total = floats.Sum(p.variance)
	if a.Has("explained_variance_ratio_") {
		ratio, err := a.Read("explained_variance_ratio_", of(components))
		if err != nil {
			return err
		}
		if kept := floats.Sum(ratio); kept > 0 {
			p.total /= kept
		}
	}
	if samples != math.Trunc(samples) || samples < 0 || samples == 1 || samples > 1<<53 {
		return fmt.Errorf("n_samples_ is %v", samples)
	}
	p.count, p.whitened = int(samples), whiten != 0
	if err := p.checkFinite(); err != nil {
		return err
	}
	return p.checkOrthonormal()
}

// checkOrthonormal holds components that another program made against what
// makes a reduced distance a lower bound. float32 is off by some 1e-6.
func (p *PCA) checkOrthonormal() error {
	for i := range p.variance {
		for j := range i + 1 {
			want := 0.0
			if i == j {
				want = 1
			}
			if got := floats.Dot(p.component(i), p.component(j)); !(math.Abs(got-want) <= 1e-4) {
				return fmt.Errorf("components_ is not orthonormal: the product of rows %d and %d is %.4g", j, i, got)
			}
		}
	}
	return nil
}

// SaveNPZ writes the PCA for numpy and scikit-learn, as float64:
//
//	arrays = numpy.load("pca.npz")
//	pca = PCA(len(arrays["components_"]), whiten=bool(arrays["whiten"]))
//	for name in arrays.files:
//	    if name.endswith("_"):
//	        setattr(pca, name, arrays[name])
//
// It goes without the input's space and without a checksum of its own: between
// programs of Millrace, use [PCA.SaveFile].
func (p *PCA) SaveNPZ(path string) error {
	if err := sealed.WriteFile(path, p.WriteNPZ); err != nil {
		return fmt.Errorf("reduce: %s: %w", path, err)
	}
	return nil
}

// WriteNPZ is [PCA.SaveNPZ] to a writer.
func (p *PCA) WriteNPZ(w io.Writer) error {
	var b bytes.Buffer
	a := npy.NewArchiveWriter(&b)
	k := len(p.variance)
	npy.Add(a, "components_", p.rows, k, p.dim)
	npy.Add(a, "mean_", p.mean, p.dim)
	npy.Add(a, "explained_variance_", p.variance, k)
	npy.Add(a, "explained_variance_ratio_", p.ExplainedVarianceRatio(), k)
	most, noise := p.dim, 0.0
	if p.count > 0 {
		most = min(most, p.count) // scikit-learn counts no more
	}
	if k < most {
		noise = max(p.total-floats.Sum(p.variance), 0) / float64(most-k)
	}
	npy.Add(a, "noise_variance_", []float64{noise})
	npy.Add(a, "n_components_", []int64{int64(k)})
	npy.Add(a, "n_features_in_", []int64{int64(p.dim)})
	if p.count > 0 {
		singular := make([]float64, k)
		for i, v := range p.variance {
			singular[i] = math.Sqrt(v * float64(p.count-1))
		}
		npy.Add(a, "singular_values_", singular, k)
		npy.Add(a, "n_samples_", []int64{int64(p.count)})
	}
	npy.Add(a, "whiten", []bool{p.whitened})
	err := a.Close()
	if err == nil {
		_, err = w.Write(b.Bytes())
	}
	if err != nil {
		return fmt.Errorf("reduce: writing the PCA: %w", err)
	}
	return nil
}
