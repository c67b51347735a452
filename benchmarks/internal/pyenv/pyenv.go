// Package pyenv makes the Python environments that benchmarks have their peers
// in.
package pyenv

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/millrace-go/millrace/internal/cachedir"
)

// Environment is Python with some packages.
type Environment struct {
	Name         string // of its folder in the cache folder, which its requirements are part of, too
	Size         string // for people
	Requirements []byte // pip's
}

// Install makes the environment, once, and names its interpreter. It needs
// python3 with venv, and pip.
func (e Environment) Install(ctx context.Context, log io.Writer) (python string, err error) {
	cache, err := cachedir.Dir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("%s-%.6x", e.Name, sha256.Sum256(e.Requirements)))
	python, installed := filepath.Join(dir, "bin", "python"), filepath.Join(dir, "installed")
	if _, err := os.Stat(installed); err == nil {
		return python, nil
	}
	_, _ = fmt.Fprintf(log, "installing Python packages into %s (%s)\n", dir, e.Size)
	if err := os.RemoveAll(dir); err != nil { // what an interrupted set-up left
		return "", err
	}
	if err := run(ctx, "python3", "-m", "venv", dir); err != nil {
		return "", err
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, e.Requirements, 0o644); err != nil {
		return "", err
	}
	if err := run(ctx, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r", list); err != nil {
		return "", err
	}
	return python, os.WriteFile(installed, nil, 0o644)
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("installing the peers (this needs python3 with venv, and pip): %s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
