//go:build !linux

package child

import "syscall"

// Attributes give a process a session of its own, so that a Ctrl-C reaches only
// this process, which then decides.
func Attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
