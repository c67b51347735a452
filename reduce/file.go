package reduce

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/millrace-go/millrace/internal/sealed"
	"github.com/millrace-go/millrace/similarity/vector"
)

func pcaFile() sealed.Kind {
	return sealed.Kind{Name: "PCA", Magic: [8]byte([]byte("MILLRPCA")), Version: 2}
}

// Save writes the PCA bit for bit, with a checksum, for [Load].
func (p *PCA) Save(w io.Writer) error {
	whitened := uint64(0)
	if p.whitened {
		whitened = 1
	}
	err := sealed.Write(w, pcaFile(), func(f *sealed.Writer) {
		f.String(p.inputSpace)
		f.Uint64(uint64(p.dim))
		f.Uint64(uint64(len(p.variance)))
		f.Uint64(uint64(p.count))
		f.Uint64(whitened)
		f.Uint64(math.Float64bits(p.total))
		f.Float64s(p.mean)
		f.Float64s(p.variance)
		f.Float64s(p.rows)
	})
	if err != nil {
		return fmt.Errorf("reduce: saving the PCA: %w", err)
	}
	return nil
}

// SaveFile is [PCA.Save] to a file. A crash leaves the old file or the new
// one, never a part.
func (p *PCA) SaveFile(path string) error {
	if err := sealed.WriteFile(path, p.Save); err != nil {
		return fmt.Errorf("reduce: %s: %w", path, err)
	}
	return nil
}

// Load reads what [PCA.Save] wrote, to the end of r. Anything that is cut
// short, changed, of a newer version or no PCA at all is an error.
func Load(r io.Reader) (*PCA, error) {
	var p PCA
	if err := sealed.Read(r, pcaFile(), p.read); err != nil {
		return nil, fmt.Errorf("reduce: loading the PCA: %w", err)
	}
	p.finish()
	return &p, nil
}

// LoadFile is [Load] from a file.
func LoadFile(path string) (*PCA, error) {
	return sealed.ReadFile("reduce", path, Load)
}

// read takes the fields, and checks what a file with a right checksum that
// does not come from Save could break.
func (p *PCA) read(f *sealed.Reader) error {
	p.inputSpace = f.String()
	dim, components, count, whitened := f.Uint64(), f.Uint64(), f.Uint64(), f.Uint64()
	if err := f.Err(); err != nil {
		return err
	}
	if err := (vector.Vector{Space: p.inputSpace, Values: []float32{0}}).Check(); err != nil {
		return err
	}
	if dim > maxDim || components < 1 || components > dim || count == 1 || count > math.MaxInt64 || whitened > 1 {
		return fmt.Errorf("%d components of %d values from %d vectors (%d) cannot be: the file is damaged", components, dim, count, whitened)
	}
	p.dim, p.count, p.whitened = int(dim), int(count), whitened == 1
	p.total = math.Float64frombits(f.Uint64())
	p.mean = f.Float64s(dim)
	p.variance = f.Float64s(components)
	p.rows = f.Float64s(components * dim)
	if err := f.Err(); err != nil {
		return err
	}
	return p.checkFinite()
}

// checkFinite checks what no fit gives.
func (p *PCA) checkFinite() error {
	for _, part := range [][]float64{{p.total}, p.mean, p.variance, p.rows} {
		for _, x := range part {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return errors.New("a parameter is NaN or infinite")
			}
		}
	}
	for _, x := range p.variance {
		if x < 0 || p.whitened && x == 0 {
			return fmt.Errorf("a component of variance %v cannot be", x)
		}
	}
	return nil
}
