//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// What a client has started ends with it, and nothing half done stays.
func TestInterruptedWhileFetching(t *testing.T) {
	p := runtimePart(hello(t)[:1])
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FIFO", fifo)
	only(t, map[string]string{"pip": "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n/bin/sleep 600 >\"$FIFO\" &\nwait\n"})
	in, _ := newInstaller(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	installed := make(chan error)
	go func() { installed <- in.install(ctx, []part{p}) }()

	child, err := os.Open(fifo) // waits until the script's child has opened it
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	cancel()
	if err := <-installed; err == nil {
		t.Error("no error")
	}
	if err := child.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(child); err != nil { // ends when the child does
		t.Errorf("the client's child lives on: %v", err)
	}
	if _, err := os.Stat(filepath.Join(in.dir, p.folder)); !errors.Is(err, os.ErrNotExist) || leftovers(t, in) != nil {
		t.Errorf("%v, left %v", err, leftovers(t, in))
	}
}
