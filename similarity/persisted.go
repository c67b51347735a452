package similarity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/millrace-go/millrace/internal/sealed"
	"github.com/millrace-go/millrace/similarity/vector"
)

// File is an [Index] whose changes are appended to a file: what Add and Delete
// have returned for is there when the file is opened again, even after kill -9.
// What a write was in the middle of then, is dropped as a whole. After
// [File.Sync] it outlives a failure of the machine too.
//
// Opening reads all of the file once, for the checksums; then large Adds stay
// where they are, in memory that the system shares between processes and takes
// back when it needs to. Make few large Adds where you can. [File.Compact]
// writes the file anew without what was replaced or deleted.
//
// One process at a time has a file open. It is safe for concurrent use.
type File struct {
	path string

	open  sync.RWMutex // held by searches: what they read stays mapped
	index *Index       // nil after Close

	mu      sync.Mutex // held by changes, before open
	f       *os.File
	unmap   func() error
	end     int64 // where the next frame goes
	dropped int64
	broken  error // of a write that left something behind
}

// OpenFile opens the file, or creates it. A file of another metric, a damaged
// one, and one that is open elsewhere are errors; so are, later, items of
// another space than those that are there.
func OpenFile(path string, metric Metric, options ...Option) (*File, error) {
	if metric > InnerProduct {
		return nil, metric.unknown()
	}
	x := &File{path: path}
	if err := x.load(newLayout(metric, options)); err != nil {
		return nil, fmt.Errorf("similarity: %s: %w", path, err)
	}
	return x, nil
}

// load opens the file and reads it.
func (x *File) load(l layout) (err error) {
	f, err := os.OpenFile(x.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := sealed.Lock(f); err != nil {
		return fmt.Errorf("another process, or another File, has it open: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if size < align { // new, or its writer died at once
		first := make([]byte, size)
		if _, err := f.ReadAt(first, 0); err != nil {
			return err
		}
		if head := fileHead(l.metric); string(first) != string(head[:size]) {
			return checkFileHead(first, l.metric)
		}
		if _, err := f.WriteAt(fileHead(l.metric), 0); err != nil {
			return err
		}
		size = align
	}
	b, unmap, err := sealed.Map(f, size)
	if err != nil {
		return err
	}
	index, end, err := replay(b, l)
	if err == nil && end < size {
		err = f.Truncate(end)
	}
	if err != nil {
		return errors.Join(err, unmap())
	}
	x.f, x.unmap, x.end, x.dropped, x.index, x.broken = f, unmap, end, size-end, index, nil
	return nil
}

// replay makes the index of a file's bytes, and tells where what is whole ends.
func replay(b []byte, l layout) (*Index, int64, error) {
	if err := checkFileHead(b, l.metric); err != nil {
		return nil, 0, err
	}
	index := &Index{layout: l}
	at := align
	for at < len(b) {
		f, size, err := readFrame(b[at:])
		if errors.Is(err, errTorn) {
			break
		}
		if err == nil {
			err = index.apply(&f)
		}
		if err != nil {
			if allZero(b[at:]) { // the machine failed before the bytes were on the disk
				break
			}
			return nil, 0, fmt.Errorf("damaged at byte %d: %w; what is before that is whole: to lose the rest, cut the file there", at, err)
		}
		at += size
	}
	return index, int64(at), nil
}

// apply makes the change that a frame holds.
func (x *Index) apply(f *frame) error {
	switch f.kind {
	case kindDelete:
		return x.Delete(f.ids...)
	case kindRows:
		return x.Add(f.items()...)
	}
	x.table.mu.Lock()
	defer x.table.mu.Unlock()
	return x.table.adopt(x.layout, f)
}

// Add implements [Collection], as [Index.Add] does: when it returns nil, the
// items are in the file.
func (x *File) Add(items ...Item) error {
	if len(items) == 0 {
		return nil
	}
	return x.change(func(index *Index) error {
		index.table.mu.Lock()
		defer index.table.mu.Unlock()
		return index.table.checkItems(index.layout.metric, items)
	}, func() []byte { return rowsFrame(items) }, func(index *Index) error { return index.Add(items...) })
}

// Delete implements [Collection]: when it returns nil, that is in the file.
func (x *File) Delete(ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	return x.change(func(*Index) error { return nil }, func() []byte { return deleteFrame(ids) }, func(index *Index) error { return index.Delete(ids...) })
}

var errClosed = errors.New("the file is closed")

func (x *File) change(check func(*Index) error, frame func() []byte, do func(*Index) error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.index == nil {
		return fmt.Errorf("similarity: %s: %w", x.path, errClosed)
	}
	if err := check(x.index); err != nil {
		return err
	}
	if x.broken != nil {
		return fmt.Errorf("similarity: %s: an earlier write failed, and could not be taken back: %w", x.path, x.broken)
	}
	b := frame()
	if err := x.write(b); err != nil {
		x.broken = x.f.Truncate(x.end)
		return fmt.Errorf("similarity: %s: %w", x.path, err)
	}
	x.end += int64(len(b))
	return do(x.index)
}

// write writes a frame. A process cannot be killed within one call of the
// system, so that these are small.
func (x *File) write(b []byte) error {
	for at := x.end; len(b) > 0; {
		n, err := x.f.WriteAt(b[:min(len(b), 64<<10)], at)
		if err != nil {
			return err
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// Nearest implements [Finder], as [Index.Nearest] does.
func (x *File) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]Hit, error) {
	return x.Where(nil).Nearest(ctx, queries, k)
}

// Within is [Index.Within].
func (x *File) Within(ctx context.Context, queries []vector.Vector, radius float64) ([][]Hit, error) {
	return x.Where(nil).Within(ctx, queries, radius)
}

// Where is [Index.Where].
func (x *File) Where(keep func(id string) bool) *Selection {
	return &Selection{keep, func() (*Index, func(), error) {
		x.open.RLock()
		if x.index == nil {
			x.open.RUnlock()
			return nil, nil, fmt.Errorf("similarity: %s: %w", x.path, errClosed)
		}
		return x.index, x.open.RUnlock, nil
	}}
}

// Len is the number of items, 0 after Close.
func (x *File) Len() int {
	x.open.RLock()
	defer x.open.RUnlock()
	if x.index == nil {
		return 0
	}
	return x.index.Len()
}

// Dropped is how many bytes at the file's end were dropped when it was opened:
// of a change whose writer died.
func (x *File) Dropped() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.dropped
}

// Sync returns when all that was changed is on the disk.
func (x *File) Sync() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.index == nil {
		return fmt.Errorf("similarity: %s: %w", x.path, errClosed)
	}
	if err := x.f.Sync(); err != nil {
		return fmt.Errorf("similarity: %s: %w", x.path, err)
	}
	return nil
}

// Compact writes the file anew, with the items that are there alone. Changes
// wait for it, searches only at its end. A crash leaves the old file or the new
// one.
func (x *File) Compact() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.index == nil {
		return fmt.Errorf("similarity: %s: %w", x.path, errClosed)
	}
	l := x.index.layout
	err := sealed.WriteFile(x.path, x.index.writeFrames)
	if err == nil {
		x.open.Lock()
		defer x.open.Unlock()
		if err = x.release(); err == nil {
			err = x.load(l)
		}
	}
	if err != nil {
		return fmt.Errorf("similarity: %s: %w", x.path, err)
	}
	return nil
}

// writeFrames writes the index as a file with a frame a segment.
func (x *Index) writeFrames(w io.Writer) error {
	now := x.table.snapshot()
	_, err := w.Write(fileHead(x.layout.metric))
	var items []Item
	flush := func() {
		if err == nil && len(items) > 0 {
			_, err = w.Write(rowsFrame(items))
		}
		items = items[:0]
	}
	now.each(func(v *view, row int) {
		values := v.values(make([]float32, now.dim), row)
		if items = append(items, Item{v.ids[row], vector.Vector{Space: now.space, Values: values}}); len(items) == segmentRows {
			flush()
		}
	})
	flush()
	return err
}

// release lets go of the file; x.mu and x.open are held.
func (x *File) release() error {
	x.index = nil
	return errors.Join(x.unmap(), x.f.Close())
}

// Close waits for the searches that go on, and lets go of the file. A second
// Close does nothing.
func (x *File) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open.Lock()
	defer x.open.Unlock()
	if x.index == nil {
		return nil
	}
	if err := x.release(); err != nil {
		return fmt.Errorf("similarity: %s: %w", x.path, err)
	}
	return nil
}
