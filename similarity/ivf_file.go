package similarity

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/millrace-go/millrace/internal/sealed"
	"github.com/millrace-go/millrace/similarity/vector"
)

func ivfFile() sealed.Kind {
	return sealed.Kind{Name: "IVF", Magic: [8]byte([]byte("MILLRIVF")), Version: 1}
}

// Save writes the IVF, with its lists and a checksum, for [LoadIVF]. Searches and
// changes go on meanwhile; what is written is the IVF at one time.
func (x *IVF) Save(w io.Writer) error {
	now := x.table.snapshot()
	err := sealed.Write(w, ivfFile(), func(f *sealed.Writer) {
		space, dim, lists := now.space, now.dim, now.lists()
		if now.live == 0 {
			space, dim, lists = "", 0, 1
		}
		f.Uint32(uint32(x.layout.metric))
		f.String(space)
		f.Uint64(uint64(dim))
		f.Uint64(uint64(now.live))
		f.Uint64(uint64(lists))
		if lists > 1 {
			f.Uint64(uint64(now.coarse.probes))
			buf := make([]float32, dim)
			now.coarse.middles.table.snapshot().each(func(v *view, row int) { f.Float32s(v.values(buf, row)) })
			now.each(func(v *view, row int) { f.Uint32(uint32(v.list)) })
		}
		now.writeItems(f)
	})
	if err != nil {
		return fmt.Errorf("similarity: saving the IVF: %w", err)
	}
	return nil
}

// SaveFile is [IVF.Save] to a file. A crash leaves the old file or the new one,
// never a part.
func (x *IVF) SaveFile(path string) error {
	if err := sealed.WriteFile(path, x.Save); err != nil {
		return fmt.Errorf("similarity: %s: %w", path, err)
	}
	return nil
}

// LoadIVF reads what [IVF.Save] wrote, to the end of r, without training. Anything
// that is cut short, changed, of a newer version or no IVF at all is an error.
// Options are not saved: give them again.
func LoadIVF(r io.Reader, options ...Option) (*IVF, error) {
	x := IVF{layout: newLayout(Euclidean, options)}
	if err := sealed.Read(r, ivfFile(), x.read); err != nil {
		return nil, fmt.Errorf("similarity: loading the IVF: %w", err)
	}
	return &x, nil
}

// LoadIVFFile is [LoadIVF] from a file.
func LoadIVFFile(path string, options ...Option) (*IVF, error) {
	return sealed.ReadFile("similarity", path, func(r io.Reader) (*IVF, error) { return LoadIVF(r, options...) })
}

// read takes the fields, and checks what a search relies on: see [Index.read].
func (x *IVF) read(f *sealed.Reader) error {
	code, space := f.Uint32(), f.String()
	dim, n, lists := f.Uint64(), f.Uint64(), f.Uint64()
	if err := f.Err(); err != nil {
		return err
	}
	if code >= uint32(InnerProduct) {
		return fmt.Errorf("metric %d is none that an IVF has", code)
	}
	x.layout.metric = Metric(code)
	switch {
	case dim > math.MaxInt32 || n > math.MaxInt32 || lists > math.MaxInt32:
		return fmt.Errorf("%d items of %d values in %d lists is more than an IVF holds: the file is damaged", n, dim, lists)
	case n == 0 && (dim != 0 || space != "" || lists != 1):
		return errors.New("a space, a dimension or lists without items")
	case lists == 0:
		return errors.New("no lists")
	}
	var c *coarse
	var of []int // the items' lists
	if lists > 1 {
		var err error
		if c, of, err = x.readLists(f, space, dim, n, lists); err != nil {
			return err
		}
	}
	err := readItems(f, space, dim, n, func(items ...Item) error {
		if err := x.table.checkItems(x.layout.metric, items); err != nil {
			return err
		}
		x.table.begin(x.layout, space, int(dim), len(items))
		x.table.next.coarse = c
		e := listed{layout: x.layout}
		if c != nil {
			e.lists, of = of[:len(items)], of[len(items):]
		}
		x.table.insert(&e, items)
		return nil
	})
	if err == nil && n > 0 {
		x.table.publish(x.layout)
	}
	return err
}

// readLists reads the lists' middles, and the list of each item.
func (x *IVF) readLists(f *sealed.Reader, space string, dim, n, lists uint64) (c *coarse, of []int, err error) {
	probes := f.Uint64()
	if err := f.Err(); err != nil {
		return nil, nil, err
	}
	if probes < 1 || probes > math.MaxInt32 {
		return nil, nil, fmt.Errorf("%d lists to search", probes)
	}
	var middles []vector.Vector
	for range int(lists) {
		middles = append(middles, vector.Vector{Space: space, Values: f.Float32s(dim)})
		if err := f.Err(); err != nil {
			return nil, nil, err
		}
	}
	for range int(n) {
		list := f.Uint32()
		if err := f.Err(); err != nil {
			return nil, nil, err
		}
		if uint64(list) >= lists {
			return nil, nil, fmt.Errorf("an item in list %d of %d", list, lists)
		}
		of = append(of, int(list))
	}
	index, err := newMiddles(x.layout.metric, middles)
	return &coarse{index, int(probes)}, of, err
}
