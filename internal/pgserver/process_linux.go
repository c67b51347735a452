package pgserver

import "syscall"

// attributes have a server stop, at once and with all its children, when this
// process dies.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGQUIT}
}
