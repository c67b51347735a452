package npy

import (
	"archive/zip"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Archive is what numpy.savez writes, compressed or not: arrays by name.
type Archive struct{ files map[string]*zip.File }

// OpenArchive reads which arrays there are in size bytes of r.
func OpenArchive(r io.ReaderAt, size int64) (*Archive, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("npy: not an archive of numpy's (.npz): %w", err)
	}
	a := &Archive{files: map[string]*zip.File{}}
	for _, f := range z.File {
		if name, ok := strings.CutSuffix(f.Name, ".npy"); ok {
			a.files[name] = f
		}
	}
	return a, nil
}

// Names lists the arrays.
func (a *Archive) Names() []string {
	names := make([]string, 0, len(a.files))
	for name := range a.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Has tells whether there is an array of a name.
func (a *Archive) Has(name string) bool { return a.files[name] != nil }

// Read reads an array, if its shape, of which check is told, is a good one.
func (a *Archive) Read(name string, check func(shape []int) error) ([]float64, error) {
	file := a.files[name]
	if file == nil {
		return nil, fmt.Errorf("npy: there is no array %s, only %s", name, strings.Join(a.Names(), ", "))
	}
	f, err := file.Open()
	if err != nil {
		return nil, fmt.Errorf("npy: %s: %w", name, err)
	}
	defer f.Close()
	r, err := NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := check(r.Shape); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	values, err := Values[float64](r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return values, nil
}

// ArchiveWriter writes an archive. The first error is kept for Close.
type ArchiveWriter struct {
	z   *zip.Writer
	err error
}

// NewArchiveWriter writes to w.
func NewArchiveWriter(w io.Writer) *ArchiveWriter { return &ArchiveWriter{z: zip.NewWriter(w)} }

// Add adds an array, as [Write] does.
func Add[T Number](a *ArchiveWriter, name string, values []T, shape ...int) {
	if a.err != nil {
		return
	}
	// Not compressed, as numpy.savez: random bits have nothing to compress.
	f, err := a.z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
	if err == nil {
		err = Write(f, values, shape...)
	}
	a.err = err
}

// Close ends the archive.
func (a *ArchiveWriter) Close() error {
	if a.err != nil {
		return a.err
	}
	if err := a.z.Close(); err != nil {
		return fmt.Errorf("npy: %w", err)
	}
	return nil
}
