package similarity

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/millrace-go/millrace/internal/sealed"
	"github.com/millrace-go/millrace/similarity/vector"
)

func indexFile() sealed.Kind {
	return sealed.Kind{Name: "similarity index", Magic: [8]byte([]byte("MILLRIDX")), Version: 1}
}

// Save writes the index, with a checksum, for [Load]. Searches go on meanwhile.
func (x *Index) Save(w io.Writer) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	err := sealed.Write(w, indexFile(), func(f *sealed.Writer) {
		f.Uint32(uint32(x.metric))
		f.String(x.space)
		f.Uint64(uint64(x.dim))
		f.Uint64(uint64(len(x.ids)))
		for _, id := range x.ids {
			f.String(id)
		}
		f.Float32s(x.rows)
	})
	if err != nil {
		return fmt.Errorf("similarity: saving the index: %w", err)
	}
	return nil
}

// SaveFile is [Index.Save] to a file. A crash leaves the old file or the new
// one, never a part.
func (x *Index) SaveFile(path string) error {
	if err := sealed.WriteFile(path, x.Save); err != nil {
		return fmt.Errorf("similarity: %s: %w", path, err)
	}
	return nil
}

// Load reads what [Index.Save] wrote, to the end of r. Anything that is cut
// short, changed, of a newer version or no index at all is an error.
func Load(r io.Reader) (*Index, error) {
	var x Index
	if err := sealed.Read(r, indexFile(), x.read); err != nil {
		return nil, fmt.Errorf("similarity: loading the index: %w", err)
	}
	x.sizes = make([]float64, len(x.ids))
	for row := range x.sizes {
		x.sizes[row] = x.metric.size(x.rows[row*x.dim : (row+1)*x.dim])
	}
	return &x, nil
}

// LoadFile is [Load] from a file.
func LoadFile(path string) (*Index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("similarity: %w", err)
	}
	defer f.Close()
	x, err := Load(f)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return x, nil
}

// read takes the fields. A file may have a right checksum and still not come
// from Save, so what a search relies on is checked as Add checks it.
func (x *Index) read(f *sealed.Reader) error {
	code := f.Uint32()
	x.space = f.String()
	dim, n := f.Uint64(), f.Uint64()
	if err := f.Err(); err != nil {
		return err
	}
	if code > uint32(Cosine) {
		return fmt.Errorf("metric %d is unknown", code)
	}
	metric := Metric(code)
	if dim > math.MaxInt32 || n > math.MaxInt32 {
		return fmt.Errorf("%d items of %d values is more than an index holds: the file is damaged", n, dim)
	}
	x.metric, x.dim = metric, int(dim)
	x.rowOf = make(map[string]int)
	for row := range int(n) {
		id := f.String()
		if err := f.Err(); err != nil {
			return err
		}
		if _, twice := x.rowOf[id]; twice {
			return fmt.Errorf("id %q is there twice", id)
		}
		x.rowOf[id] = row
		x.ids = append(x.ids, id)
	}
	x.rows = f.Float32s(dim * n)
	if err := f.Err(); err != nil {
		return err
	}
	if n == 0 && (dim != 0 || x.space != "") {
		return errors.New("a space or a dimension without items")
	}
	for row, id := range x.ids {
		v := vector.Vector{Space: x.space, Values: x.rows[row*x.dim : (row+1)*x.dim]}
		if err := (Item{id, v}).CheckIn(metric, x.space, x.dim); err != nil {
			return err
		}
	}
	return nil
}
