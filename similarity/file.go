package similarity

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/millrace-go/millrace/internal/sealed"
	"github.com/millrace-go/millrace/similarity/vector"
)

func indexFile() sealed.Kind {
	return sealed.Kind{Name: "similarity index", Magic: [8]byte([]byte("MILLRIDX")), Version: 1}
}

// Save writes the index, with a checksum, for [Load]. Searches and changes go
// on meanwhile; what is written is the index at one time.
func (x *Index) Save(w io.Writer) error {
	now := x.table.snapshot()
	err := sealed.Write(w, indexFile(), func(f *sealed.Writer) {
		space, dim := now.space, now.dim
		if now.live == 0 {
			space, dim = "", 0
		}
		f.Uint32(uint32(x.layout.metric))
		f.String(space)
		f.Uint64(uint64(dim))
		f.Uint64(uint64(now.live))
		now.writeItems(f)
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
// short, changed, of a newer version or no index at all is an error. Options
// are not saved: give them again.
func Load(r io.Reader, options ...Option) (*Index, error) {
	x := Index{layout: newLayout(Euclidean, options)}
	if err := sealed.Read(r, indexFile(), x.read); err != nil {
		return nil, fmt.Errorf("similarity: loading the index: %w", err)
	}
	return &x, nil
}

// LoadFile is [Load] from a file.
func LoadFile(path string, options ...Option) (*Index, error) {
	return sealed.ReadFile("similarity", path, func(r io.Reader) (*Index, error) { return Load(r, options...) })
}

// read takes the fields. A file may have a right checksum and still not come
// from Save, so what a search relies on is checked as Add checks it.
func (x *Index) read(f *sealed.Reader) error {
	code := f.Uint32()
	space := f.String()
	dim, n := f.Uint64(), f.Uint64()
	if err := f.Err(); err != nil {
		return err
	}
	if code > uint32(InnerProduct) {
		return fmt.Errorf("metric %d is unknown", code)
	}
	x.layout.metric = Metric(code)
	if dim > math.MaxInt32 || n > math.MaxInt32 {
		return fmt.Errorf("%d items of %d values is more than an index holds: the file is damaged", n, dim)
	}
	if n == 0 && (dim != 0 || space != "") {
		return errors.New("a space or a dimension without items")
	}
	return readItems(f, space, dim, n, x.Add)
}

// writeItems writes the items that are there: all ids, then all values.
func (s *snapshot) writeItems(f *sealed.Writer) {
	s.each(func(v *view, row int) { f.String(v.ids[row]) })
	buf := make([]float32, s.dim)
	s.each(func(v *view, row int) { f.Float32s(v.values(buf, row)) })
}

// readItems reads n items of dim values, and adds them.
func readItems(f *sealed.Reader, space string, dim, n uint64, add func(...Item) error) error {
	var ids []string
	there := make(map[string]bool)
	for range int(n) {
		id := f.String()
		if err := f.Err(); err != nil {
			return err
		}
		if there[id] {
			return fmt.Errorf("id %q is there twice", id)
		}
		there[id] = true
		ids = append(ids, id)
	}
	for len(ids) > 0 {
		items := make([]Item, min(len(ids), segmentRows))
		for i := range items {
			items[i] = Item{ids[i], vector.Vector{Space: space, Values: f.Float32s(dim)}}
			if err := f.Err(); err != nil {
				return err
			}
		}
		if err := add(items...); err != nil {
			return err
		}
		ids = ids[len(items):]
	}
	return nil
}
