// Package child starts processes that do not outlive this one.
package child

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a child process. On Linux it dies with this one, however that
// ends.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts cmd, by the attributes that it has or else by those that end it
// with SIGKILL.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = Attributes(syscall.SIGKILL)
	}
	started := make(chan error)
	go func() {
		// The kernel means the thread that started the child when it says
		// parent: this one stays as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // State has it
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("child: %w", err)
	}
	return p, nil
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// State says how the process has ended; call it after Done.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Signal sends a signal. A process that has ended is an error.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("child: %v to process %d: %w", s, p.Pid(), err)
	}
	return nil
}

// Kill sends SIGKILL and waits for the end. It fails if the process had ended
// before, by itself.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	if s, ok := p.State().Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		return fmt.Errorf("child: process %d ended by itself before it was killed: %v", p.Pid(), p.State())
	}
	return nil
}
