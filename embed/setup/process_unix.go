//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// tryLock locks a file against other processes, until it is closed. ok is
// false while another one holds it.
func tryLock(f *os.File) (ok bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// killWithChildren makes the end of the command's context end also what the
// command has started: cargo's compilers would go on writing.
func killWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
