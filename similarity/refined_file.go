package similarity

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/millrace-go/millrace/internal/sealed"
)

func refinedFile() sealed.Kind {
	return sealed.Kind{Name: "refined index", Magic: [8]byte([]byte("MILLRREF")), Version: 2}
}

// Save writes the items and the projection, with a checksum, for [LoadRefined].
// Searches and changes go on meanwhile; what is written is what was there at
// one time.
func (x *Refined) Save(w io.Writer) error {
	if x.projector == nil {
		return errNoProjection
	}
	now := x.table.snapshot()
	err := sealed.Write(w, refinedFile(), func(f *sealed.Writer) {
		e := x.projector
		f.Uint32(uint32(x.metric))
		f.String(x.space)
		f.Uint64(uint64(e.dim))
		f.Uint64(uint64(len(e.components)))
		f.Uint64(math.Float64bits(e.usual))
		f.Float64s(e.mean)
		for _, c := range e.components {
			f.Float64s(c)
		}
		f.Uint64(uint64(now.live))
		now.writeItems(f)
	})
	if err != nil {
		return fmt.Errorf("similarity: saving the refined index: %w", err)
	}
	return nil
}

// SaveFile is [Refined.Save] to a file. A crash leaves the old file or the new
// one, never a part.
func (x *Refined) SaveFile(path string) error {
	if err := sealed.WriteFile(path, x.Save); err != nil {
		return fmt.Errorf("similarity: %s: %w", path, err)
	}
	return nil
}

// LoadRefined reads what [Refined.Save] wrote, to the end of r, and projects
// the items anew. Anything that is cut short, changed, of a newer version or no
// refined index at all is an error.
func LoadRefined(r io.Reader, options ...Option) (*Refined, error) {
	var x *Refined
	err := sealed.Read(r, refinedFile(), func(f *sealed.Reader) (err error) {
		x, err = readRefined(f, options)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("similarity: loading the refined index: %w", err)
	}
	return x, nil
}

// LoadRefinedFile is [LoadRefined] from a file.
func LoadRefinedFile(path string, options ...Option) (*Refined, error) {
	return sealed.ReadFile("similarity", path, func(r io.Reader) (*Refined, error) { return LoadRefined(r, options...) })
}

// saved is the projection of a file.
type saved struct {
	space      string
	mean       []float64
	components [][]float64
}

func (p *saved) InputSpace() string        { return p.space }
func (p *saved) Dim() int                  { return len(p.mean) }
func (p *saved) Components() int           { return len(p.components) }
func (p *saved) Component(i int) []float64 { return p.components[i] }
func (p *saved) Mean() []float64           { return p.mean }

// readRefined takes the fields. As by an Index, nothing is believed of what a
// search relies on.
func readRefined(f *sealed.Reader, options []Option) (*Refined, error) {
	code := f.Uint32()
	p := &saved{space: f.String()}
	dim, components := f.Uint64(), f.Uint64()
	if err := f.Err(); err != nil {
		return nil, err
	}
	if code >= uint32(InnerProduct) {
		return nil, fmt.Errorf("metric %d is none that a refined index has", code)
	}
	if dim > math.MaxInt32 || components < 1 || components > dim {
		return nil, fmt.Errorf("%d components of %d values: the file is damaged", components, dim)
	}
	usual := math.Float64frombits(f.Uint64())
	if !(usual >= 0 && usual <= math.MaxFloat32) {
		return nil, fmt.Errorf("%v is usually left out: the file is damaged", usual)
	}
	p.mean = f.Float64s(dim)
	for range int(components) {
		p.components = append(p.components, f.Float64s(dim))
		if err := f.Err(); err != nil {
			return nil, err
		}
	}
	n := f.Uint64()
	if err := f.Err(); err != nil {
		return nil, err
	}
	if n > math.MaxInt32 {
		return nil, errors.New("more items than an index holds: the file is damaged")
	}
	e, err := readProjector(Metric(code), p)
	if err != nil {
		return nil, err
	}
	e.usual = usual
	e.finish()
	x := makeRefined(Metric(code), p.space, e, options)
	return x, readItems(f, p.space, dim, n, x.Add)
}
