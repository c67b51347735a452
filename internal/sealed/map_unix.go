//go:build unix

package sealed

import (
	"os"
	"syscall"
)

// Map maps the first size bytes of f into memory, to be read until unmap. Who
// cuts the file shorter meanwhile ends the process that reads on.
func Map(f *os.File, size int64) (b []byte, unmap func() error, err error) {
	if size == 0 {
		return nil, func() error { return nil }, nil
	}
	b, err = syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return b, func() error { return syscall.Munmap(b) }, nil
}

// Lock takes f for this process alone, or fails at once. The lock ends with
// the process, however that ends.
func Lock(f *os.File) error {
	return os.NewSyscallError("flock", syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
}
