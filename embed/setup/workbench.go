package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// workbench is where a part is made: a temporary folder, and the tools.
type workbench struct {
	dir     string
	log     func(string, ...any)
	pause   time.Duration // before something is tried again
	clients clients
}

const attempts = 3 // of what goes over the network

// run runs a command. Its standard output goes to stdout, if that is given; what
// else it says is shown only when it fails.
func (b *workbench) run(cmd *exec.Cmd, stdout io.Writer) error {
	said := &tail{log: b.log, shown: time.Now()}
	cmd.Stdout, cmd.Stderr = stdout, said
	if stdout == nil {
		cmd.Stdout = said // Maven's errors go there
	}
	cmd.WaitDelay = 10 * time.Second
	killWithChildren(cmd)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said.last())
	}
	return nil
}

// tail keeps the end of what a command says, and shows now and then how many
// crates cargo has compiled.
type tail struct {
	log      func(string, ...any)
	said     []byte
	compiled int
	shown    time.Time
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 4 << 10
	t.said = append(t.said, b...)
	if n := len(t.said); n > 2*most {
		t.said = append(t.said[:0], t.said[n-most:]...)
	}
	if n := bytes.Count(b, []byte("Compiling ")); n > 0 {
		t.compiled += n
		if time.Since(t.shown) > 10*time.Second {
			t.shown = time.Now()
			t.log("cargo: %d crates so far", t.compiled)
		}
	}
	return len(b), nil
}

func (t *tail) last() string { return strings.TrimSpace(string(t.said)) }

func (b *workbench) retry(ctx context.Context, f func() error) (err error) {
	for i := range attempts {
		if i > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(b.pause):
			}
		}
		if err = f(); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// checkSum compares a file with its sha256.
func checkSum(file, want string) error {
	got, err := sum(file)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s %w: sha256 %s, want %s", filepath.Base(file), errOther, got, want)
	}
	return nil
}

func sum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
