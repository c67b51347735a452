package emulator

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/millrace-go/millrace/internal/cachedir"
)

//go:embed requirements.lock
var requirements []byte

//go:embed launch.py
var launcher []byte

// installed marks a complete environment: it is written last.
const installed = "installed"

// Install puts the emulator into the cache folder (MILLRACE_CACHE, by default
// millrace under the user's cache directory) and tells log what it does. It
// returns at once where that was done before, and waits for another process
// that is at it. About 30 s and 500 MB.
func Install(ctx context.Context, log io.Writer) error {
	dir, err := folder()
	if err != nil {
		return err
	}
	if complete(dir) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	unlock, err := lock(ctx, dir+".lock", log)
	if err != nil {
		return err
	}
	defer unlock()
	if complete(dir) {
		return nil
	}
	python, err := findPython(ctx)
	if err != nil {
		return err
	}
	// An environment cannot be moved once made, so it is made in place; what an
	// interrupted set-up left is removed first.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	fmt.Fprintf(log, "BigQuery emulator: installing into %s (500 MB, about half a minute)\n", dir)
	begin := time.Now()
	if err := run(ctx, nil, python, "-m", "venv", dir); err != nil {
		return fmt.Errorf("emulator: making a Python environment: %w", err)
	}
	list := filepath.Join(dir, "requirements.lock")
	if err := os.WriteFile(list, requirements, 0o644); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	packages := strings.Count(string(requirements), "==")
	progress := &pipProgress{log: log, packages: packages}
	if err := run(ctx, progress, interpreter(dir), "-m", "pip", "install", "--disable-pip-version-check",
		"--progress-bar", "off", "--only-binary", ":all:", "--require-hashes", "-r", list); err != nil {
		return fmt.Errorf("emulator: installing %d Python packages: %w", packages, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "launch.py"), launcher, 0o644); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, installed), nil, 0o644); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	fmt.Fprintf(log, "BigQuery emulator: installed in %.0f s\n", time.Since(begin).Seconds())
	return nil
}

// folder names the place of this very version: a changed lock or launcher
// gets another one.
func folder() (string, error) {
	cache, err := cachedir.Dir()
	if err != nil {
		return "", fmt.Errorf("emulator: %w", err)
	}
	h := sha256.New()
	h.Write(requirements)
	h.Write(launcher)
	return filepath.Join(cache, fmt.Sprintf("bigquery-emulator-%x", h.Sum(nil)[:6])), nil
}

func interpreter(dir string) string { return filepath.Join(dir, "bin", "python") }

func complete(dir string) bool {
	for _, p := range []string{filepath.Join(dir, installed), interpreter(dir)} {
		if _, err := os.Stat(p); err != nil {
			return false
		}
	}
	return true
}

// findPython returns the command of a Python that can make environments and
// is new enough for the packages in the lock.
func findPython(ctx context.Context) (string, error) {
	const probe = `import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))`
	var tried []string
	for _, name := range []string{"python3", "python3.14", "python3.13", "python3.12", "python3.11"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if err := run(ctx, nil, path, "-c", probe); err != nil {
			tried = append(tried, path)
			continue
		}
		return path, nil
	}
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("emulator: %w", err)
	}
	if len(tried) > 0 {
		return "", fmt.Errorf("emulator: needs Python 3.11 or newer with venv and pip; %s will not do (on Debian: apt install python3-venv)", strings.Join(tried, ", "))
	}
	return "", errors.New("emulator: needs Python 3.11 or newer with venv and pip, and there is no python3 on the PATH (on Debian: apt install python3 python3-venv)")
}

// lock holds the file's lock until unlock is called, or the process ends.
func lock(ctx context.Context, path string, log io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	for told := false; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = f.Close()
			return nil, fmt.Errorf("emulator: locking %s: %w", path, err)
		}
		if !told {
			fmt.Fprintln(log, "BigQuery emulator: another process is installing it, waiting")
			told = true
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("emulator: waiting for another set-up: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// run runs a command; its error carries the end of what the command said.
func run(ctx context.Context, out io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	said := &tail{most: 2000}
	cmd.Stdout, cmd.Stderr = said, said
	if out != nil {
		cmd.Stdout = io.MultiWriter(said, out)
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, said)
	}
	return nil
}

// pipProgress makes a line of every tenth package that pip announces.
type pipProgress struct {
	log      io.Writer
	packages int
	seen     int
	part     []byte
}

func (p *pipProgress) Write(b []byte) (int, error) {
	p.part = append(p.part, b...)
	for {
		n, line, err := bufio.ScanLines(p.part, false)
		if n == 0 || err != nil {
			return len(b), nil //nolint:nilerr // half a line: the rest comes with the next call
		}
		if strings.HasPrefix(string(line), "Collecting ") {
			if p.seen++; p.seen%10 == 0 {
				fmt.Fprintf(p.log, "BigQuery emulator: %d of %d packages\n", p.seen, p.packages)
			}
		}
		p.part = p.part[n:]
	}
}

// setupHint is for whoever starts what is not installed.
func setupHint(dir string) error {
	return fmt.Errorf("emulator: the BigQuery emulator is not installed in %s (%s/%s): run `make setup`", dir, runtime.GOOS, runtime.GOARCH)
}
