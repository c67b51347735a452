package child

import "syscall"

// Attributes give a process a session of its own, so that a Ctrl-C reaches only
// this process, which then decides, and on Linux a signal when this one dies.
func Attributes(dying syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: dying}
}
