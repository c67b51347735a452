package pgserver

import (
	"os/exec"
	"runtime"
)

// startProcess starts cmd and returns what is closed when it has ended.
func startProcess(cmd *exec.Cmd) (chan struct{}, error) {
	started, exited := make(chan error), make(chan struct{})
	go func() { // ends with the process, which Close waits for
		// The kernel means the thread that started the child when it says
		// parent: this one stays as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // ProcessState has it
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return exited, nil
}
