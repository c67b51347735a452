//go:build !unix

package sealed

import (
	"io"
	"os"
)

// Map reads the first size bytes of f: here, files are not mapped.
func Map(f *os.File, size int64) (b []byte, unmap func() error, err error) {
	b = make([]byte, size)
	_, err = io.ReadFull(io.NewSectionReader(f, 0, size), b)
	return b, func() error { return nil }, err
}

// Lock does nothing here: that one process at a time has the file is up to
// who starts them.
func Lock(*os.File) error { return nil }
